import assert from 'node:assert/strict'
import { test } from 'node:test'
import { setImmediate } from 'node:timers/promises'
import { createRounds } from '../../../src/outside/rounds.js'
import { createClock } from '../../support/clock.js'
import { createFakeLog } from '../../support/messaging.js'

const MINUTE = 60_000
const INTERVAL = 5 * MINUTE

type Result = { readonly isReached: boolean }

/** Creates rounds whose checks end immediately, unless the test holds them. */
function setup({ isHeld = false } = {}) {
  const clock = createClock()
  const log = createFakeLog()
  const starts: { readonly name: string; readonly atMs: number }[] = []
  const running = new Map<string, (result: Result | undefined) => void>()
  const counts = { running: 0, most: 0, twice: 0 }
  let result: Result | undefined = { isReached: true }
  const rounds = createRounds<Result>({
    ...clock,
    log: log.log,
    hasReached: ({ isReached }) => isReached,
    onResult: () => {},
    check: async (name, signal) => {
      starts.push({ name, atMs: clock.now() })
      if (running.has(name)) counts.twice++
      counts.most = Math.max(counts.most, ++counts.running)
      try {
        if (!isHeld) return result
        return await new Promise<Result | undefined>((resolve) => {
          running.set(name, resolve)
          signal.addEventListener('abort', () => {
            resolve(undefined)
          })
        })
      } finally {
        running.delete(name)
        counts.running--
      }
    },
  })
  /** Advances the clock in steps, in which the promises of checks settle. */
  const advance = async (ms: number, stepMs = 1000) => {
    for (let passed = 0; passed < ms; passed += stepMs) {
      clock.advance(Math.min(stepMs, ms - passed))
      await setImmediate()
    }
  }
  return {
    rounds,
    clock,
    log,
    starts,
    running,
    counts,
    advance,
    setResult: (next: Result | undefined) => {
      result = next
    },
    /** Removes and returns the times of the checks of a name. */
    takeTimes: (name: string) => {
      const times = starts.filter((each) => each.name === name).map(({ atMs }) => atMs)
      starts.length = 0
      return times
    },
  }
}

const createNames = (count: number) => Array.from({ length: count }, (_, i) => `d${i}.example`)

test('each name is checked once per interval, also after a reload without changes', async () => {
  const { rounds, advance, starts } = setup()
  const names = createNames(20)
  rounds.apply(names, INTERVAL)
  await advance(2 * INTERVAL)
  starts.length = 0
  for (let i = 0; i < 4; i++) {
    await advance(INTERVAL)
    rounds.apply([...names], INTERVAL)
  }
  for (const name of names) {
    const times = starts.filter((each) => each.name === name).map(({ atMs }) => atMs)
    assert.equal(times.length, 4, name)
    for (const [i, atMs] of times.slice(1).entries()) assert.equal(atMs - times[i]!, INTERVAL)
  }
})

test('a name is never checked twice within an interval after the start', async () => {
  const { rounds, advance, starts } = setup()
  rounds.apply(createNames(3), INTERVAL)
  await advance(3 * INTERVAL)
  for (const { name } of starts.slice(0, 3)) {
    const [first, second] = starts.filter((each) => each.name === name)
    assert.ok(second!.atMs - first!.atMs >= INTERVAL - 1)
  }
})

test('the first result of a few names does not take an interval', async () => {
  const { rounds, advance, starts } = setup()
  rounds.apply(createNames(3), INTERVAL)
  await advance(3000)
  assert.equal(starts.length, 3)
})

test('the checks of 1,000 names are spread evenly over the interval', async () => {
  const { rounds, advance, starts } = setup()
  rounds.apply(createNames(1000), INTERVAL)
  await advance(INTERVAL)
  const inFirst = starts.length
  assert.ok(inFirst >= 990, `${inFirst} checks in the first interval`)
  await advance(INTERVAL)
  starts.length = 0
  await advance(INTERVAL)
  const perMinute = new Map<number, number>()
  for (const { atMs } of starts) {
    const minute = Math.floor(atMs / MINUTE)
    perMinute.set(minute, (perMinute.get(minute) ?? 0) + 1)
  }
  // The times depend on a hash of the name, so they are not exactly equal.
  for (const count of perMinute.values()) assert.ok(count < 250, `${count} checks in a minute`)
  assert.equal(starts.length, 1000)
})

test('at most eight checks run at a time, and never two of one name', async () => {
  const { rounds, advance, starts, running, counts } = setup({ isHeld: true })
  rounds.apply(createNames(20), INTERVAL)
  await advance(INTERVAL)
  assert.equal(running.size, 8)
  for (let i = 0; i < 20; i++) {
    for (const [, finish] of [...running]) finish({ isReached: true })
    await setImmediate()
  }
  assert.equal(new Set(starts.map(({ name }) => name)).size, 20)
  const joined = [rounds.checkNow('d1.example'), rounds.checkNow('d1.example')]
  await advance(4 * INTERVAL)
  assert.deepEqual([counts.most, counts.twice], [8, 0])
  rounds.stop()
  await Promise.all(joined)
})

test('a name that is never reached is checked less often after the third time, until it is reached', async () => {
  const { rounds, advance, setResult, takeTimes, clock } = setup()
  setResult({ isReached: false })
  rounds.apply(['a.example'], INTERVAL)
  await advance(30 * INTERVAL)
  const times = takeTimes('a.example')
  const gaps = times.slice(1).map((atMs, i) => (atMs - times[i]!) / INTERVAL)
  // The first check is early, so the first gap is up to two intervals.
  assert.deepEqual(gaps.slice(1, 6), [1, 1, 2, 4, 4].slice(0, 5))
  const { endedAtMs, expiresAtMs } = rounds.getLast('a.example')!
  assert.equal(expiresAtMs - endedAtMs, 3 * 4 * INTERVAL)
  setResult({ isReached: true })
  await rounds.checkNow('a.example')
  const reachedAt = clock.now()
  await advance(3 * INTERVAL)
  const [, next] = takeTimes('a.example')
  assert.ok(next! - reachedAt <= 2 * INTERVAL, `the next check came after ${next! - reachedAt} ms`)
})

test('an interval of 0 checks only on request', async () => {
  const { rounds, advance, starts } = setup()
  rounds.apply(['a.example'], 0)
  await advance(3_600_000, 60_000)
  assert.equal(starts.length, 0)
  assert.deepEqual(await rounds.checkNow('a.example'), { isReached: true })
  assert.equal(await rounds.checkNow('other.example'), undefined)
  const { endedAtMs, expiresAtMs } = rounds.getLast('a.example')!
  assert.equal(expiresAtMs - endedAtMs, 15 * MINUTE)
})

test('a request joins a running check, and does not wait behind others', async () => {
  const { rounds, advance, running, starts } = setup({ isHeld: true })
  rounds.apply(createNames(30), INTERVAL)
  await advance(INTERVAL)
  const last = createNames(30).find((name) => !starts.some((each) => each.name === name))!
  const result = rounds.checkNow(last)
  const [[first, finish]] = [...running] as [[string, (result: Result) => void]]
  const joined = rounds.checkNow(first)
  finish({ isReached: true })
  assert.deepEqual(await joined, { isReached: true })
  await setImmediate()
  running.get(last)!({ isReached: false })
  assert.deepEqual(await result, { isReached: false })
  rounds.stop()
})

test('a reload that removes a name ends its check and forgets its result', async () => {
  const { rounds, advance, running } = setup({ isHeld: true })
  rounds.apply(['a.example', 'b.example'], INTERVAL)
  await advance(INTERVAL)
  running.get('a.example')!({ isReached: true })
  await setImmediate()
  assert.ok(rounds.getLast('a.example'))
  const pending = rounds.checkNow('b.example')
  rounds.apply(['b.example'], INTERVAL)
  assert.equal(rounds.getLast('a.example'), undefined)
  rounds.apply([], INTERVAL)
  assert.equal(await pending, undefined)
  await rounds.close()
})

test('after a change of other settings, all names are checked soon', async () => {
  const { rounds, advance, starts } = setup()
  rounds.apply(['a.example'], INTERVAL)
  await advance(2000)
  starts.length = 0
  rounds.apply(['a.example'], INTERVAL, true)
  await advance(2000)
  assert.equal(starts.length, 1)
})

test('a check that never ends is ended after ten minutes', async () => {
  const { rounds, advance, running } = setup({ isHeld: true })
  rounds.apply(['a.example'], INTERVAL)
  await advance(2000)
  assert.equal(running.size, 1)
  await advance(10 * MINUTE - 3000)
  assert.equal(running.size, 1)
  await advance(3000)
  assert.equal(running.size, 0)
})

test('checks that are more than an interval late cause one warning', async () => {
  const { rounds, advance, running, log } = setup({ isHeld: true })
  rounds.apply(createNames(9), MINUTE)
  await advance(3 * MINUTE)
  for (const [, finish] of [...running]) finish({ isReached: true })
  await setImmediate()
  assert.deepEqual(log.take().filter((line) => line.includes('outside.interval')).length, 1)
  rounds.stop()
})

test('after stop, no check starts', async () => {
  const { rounds, advance, starts, clock } = setup()
  rounds.apply(createNames(3), INTERVAL)
  rounds.stop()
  await advance(INTERVAL)
  assert.equal(starts.length, 0)
  assert.equal(clock.pending(), 0)
  assert.equal(await rounds.checkNow('d1.example'), undefined)
})
