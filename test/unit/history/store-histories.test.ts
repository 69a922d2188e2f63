import assert from 'node:assert/strict'
import { test, type TestContext } from 'node:test'
import { setImmediate as turn } from 'node:timers/promises'
import { createHistory, type History } from '../../../src/history/history.js'
import { storeHistories } from '../../../src/history/store-histories.js'
import { summarize } from '../../../src/history/server-summary.js'
import { createCollection, START_MS } from '../../support/summary-families.js'

const MINUTE_MS = 60_000

/** Stores histories with a simulated clock. `stored` has the name of each history when its store begins. */
function setUp(t: TestContext, names: readonly string[]) {
  t.mock.timers.enable({ apis: ['setInterval'] })
  let nowMs = 0
  const stored: string[] = []
  const ends: (() => void)[] = []
  const create = (name: string): History => ({
    ...createHistory({ intervalMs: 15_000, now: () => nowMs }),
    flush() {
      stored.push(name)
      return new Promise((resolve) => ends.push(resolve))
    },
  })
  const histories = names.map(create)
  const stop = storeHistories(() => histories, { now: () => nowMs })
  t.after(stop)
  return {
    histories,
    stored,
    stop,
    addPoint: (history: History) => {
      history.add(summarize(createCollection(), START_MS + nowMs))
    },
    pass: (ms: number) => {
      nowMs += ms
      t.mock.timers.tick(1000)
    },
    /** Ends the store that runs now. */
    end: async () => {
      ends.shift()!()
      await turn()
    },
  }
}

test('histories are stored as soon as they have a point, and then every five minutes', async (t) => {
  const { histories, stored, addPoint, pass, end } = setUp(t, ['a', 'b'])
  pass(MINUTE_MS)
  assert.deepEqual(stored, [])
  addPoint(histories[0]!)
  pass(1000)
  assert.deepEqual(stored, ['a'])
  await end()
  addPoint(histories[1]!)
  pass(4 * MINUTE_MS)
  assert.deepEqual(stored, ['a', 'b'])
  await end()
  pass(MINUTE_MS)
  assert.deepEqual(stored, ['a', 'b', 'a'])
  await end()
})

test('histories are stored one after the other, and none after the stop', async (t) => {
  const { histories, stored, stop, addPoint, pass, end } = setUp(t, ['a', 'b', 'c'])
  histories.forEach(addPoint)
  pass(1000)
  pass(10 * MINUTE_MS)
  assert.deepEqual(stored, ['a'])
  await end()
  assert.deepEqual(stored, ['a', 'b'])
  stop()
  await end()
  pass(10 * MINUTE_MS)
  assert.deepEqual(stored, ['a', 'b'])
})
