import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { setImmediate as turn } from 'node:timers/promises'
import { countUnstoredPoints, createHistory } from '../../../src/history/history.js'
import { pollServers } from '../../../src/history/poll-servers.js'
import { summarize } from '../../../src/history/server-summary.js'
import { family, type Family } from '../../../src/metrics/family.js'
import { makeFamily } from '../../support/families.js'
import {
  counter,
  createCollection,
  FAMILIES,
  HOST,
  START_MS,
} from '../../support/summary-families.js'

/** Creates a history with a simulated clock. `addAt` adds a summary of these families if `shouldAdd` returns true. */
function setUp(intervalMs = 15_000, maxPoints?: number) {
  let nowMs = 0
  const history = createHistory({
    intervalMs,
    now: () => nowMs,
    ...(maxPoints !== undefined && { maxPoints }),
  })
  const addAt = (ms: number, families: readonly Family[] = FAMILIES, isUp = true) => {
    nowMs = ms
    if (!history.shouldAdd({ isUp, connects: 1 })) return
    history.add(summarize(createCollection({ families, isUp }), START_MS + ms))
  }
  return { history, addAt, setTime: (ms: number) => (nowMs = ms) }
}

describe('the history', () => {
  const logins = (count: number) => [counter('xmpp_logins', [{ host: HOST }, count])]

  test('has the rates of counters, except across a reset or an outage', () => {
    const { history, addAt } = setUp()
    addAt(0, logins(100))
    addAt(15_000, logins(110))
    addAt(30_000, logins(3))
    addAt(45_000, logins(3))
    addAt(60_000, [], false)
    addAt(75_000, logins(9))
    addAt(90_000, logins(10))
    assert.deepEqual(
      history.getPoints().map(({ logins: rate }) => rate),
      [undefined, 40, undefined, 0, undefined, undefined, 4],
    )
  })

  for (const seconds of [15, 30, 60]) {
    test(`has rates over one minute if it gets a point every ${seconds} s`, () => {
      const { history, addAt } = setUp()
      // In the third minute, there are 60 logins.
      for (let at = 0; at <= 300; at += seconds) {
        addAt(at * 1000, logins(Math.min(Math.max(at - 120, 0), 60)))
      }
      const rates = history.getPoints().map(({ logins: rate }) => rate)
      const atMinute = (minute: number) => rates[(minute * 60) / seconds]
      assert.deepEqual([1, 2, 3, 4, 5].map(atMinute), [0, 0, 60, 0, 0])
    })
  }

  test('has a new summary immediately after the exporter connected again', () => {
    const { history, addAt, setTime } = setUp()
    addAt(0)
    setTime(100)
    assert.equal(history.shouldAdd({ isUp: true, connects: 1 }), false)
    assert.equal(history.shouldAdd({ isUp: true, connects: 2 }), true)
  })

  test('compares the memory with that of the first hour but one of this run of the server', () => {
    const { history, addAt } = setUp()
    const addMemory = (minutes: number, bytes: number, startedAtMs: number | undefined) => {
      const start = { labels: { host: HOST }, value: (startedAtMs ?? 0) / 1000 }
      addAt(minutes * 60_000, [
        family('gauge', 'xmpp_process_resident_memory_bytes', '', [{ value: bytes }]),
        ...(startedAtMs === undefined
          ? []
          : [family('gauge', 'xmpp_start_time_seconds', '', [start])]),
      ])
    }
    for (let minute = 0; minute < 121; minute++) {
      addMemory(minute, minute < 60 ? 1 : 100, START_MS)
      assert.equal(history.getMemoryGrowth() === undefined, minute < 120, String(minute))
    }
    addMemory(121, 300, START_MS)
    const { fromBytes, toBytes } = history.getMemoryGrowth()!
    assert.deepEqual([fromBytes, toBytes], [100, 300])
    // Another run of the server.
    addMemory(122, 200, START_MS + 121.5 * 60_000)
    assert.equal(history.getMemoryGrowth(), undefined)
    addMemory(123, 200, undefined)
    assert.equal(history.getMemoryGrowth(), undefined)
  })

  test('without a start time of the server, the growth of its memory is unknown', () => {
    const { history, addAt } = setUp()
    assert.equal(history.getMemoryGrowth(), undefined)
    addAt(0, [])
    assert.equal(history.getMemoryGrowth(), undefined)
  })

  test('has the mean event loop lag of the last minute', () => {
    const { history, addAt } = setUp()
    const lag = (sum: number, count: number) => [
      makeFamily({ name: 'xmpp_loop_lag_seconds', type: 'histogram', bounds: [1, Infinity] }, [
        { values: [count, count, sum, count] },
      ]),
    ]
    addAt(0, lag(1, 100))
    addAt(15_000, lag(1.5, 110))
    addAt(30_000, lag(1.5, 110))
    assert.deepEqual(
      history.getPoints().map(({ lagMs }) => lagMs),
      [undefined, 50, 50],
    )
  })

  for (const intervalMs of [0, 1000, 15_000, 3_600_000]) {
    test(`with page.interval ${intervalMs} ms, has all points until they are stored, also those of a short outage`, () => {
      const { history, addAt } = setUp(intervalMs, countUnstoredPoints(intervalMs))
      for (let ms = 0; ms < 300_000; ms += 500) addAt(ms, [], ms < 100_000 || ms > 130_000)
      const points = history.getPoints()
      assert.equal(points.length, history.countPoints())
      assert.deepEqual(
        points.flatMap(({ isUp, atMs }, i) =>
          i > 0 && isUp !== points[i - 1]!.isUp ? [atMs - START_MS] : [],
        ),
        [100_000, 130_500],
      )
    })
  }

  test('has the values of each scrape, also if page.interval is much longer', () => {
    const { history, addAt } = setUp(3_600_000)
    for (let ms = 0; ms <= 60_000; ms += 15_000) addAt(ms)
    assert.equal(history.countPoints(), 5)
  })

  test('stores only the last points', () => {
    const { history, addAt } = setUp(15_000, 4)
    for (let i = 0; i < 10; i++) addAt(i * 15_000)
    assert.equal(history.countPoints(), 10)
    const times = (from?: number) =>
      history.getPoints(from).map(({ atMs }) => (atMs - START_MS) / 15_000)
    assert.deepEqual(times(), [6, 7, 8, 9])
    assert.deepEqual(times(8), [8, 9])
    assert.deepEqual(times(10), [])
  })

  test('ignores a collection soon after the previous point, unless the server went up or down', () => {
    const { history, addAt } = setUp()
    addAt(0)
    addAt(7000)
    addAt(8000)
    addAt(8100, [], false)
    addAt(8200)
    assert.deepEqual(
      history.getPoints().map(({ atMs }) => atMs - START_MS),
      [0, 8000, 8100, 8200],
    )
    assert.equal(history.getLatest()!.isUp, true)
  })

  test('is due for polling after an interval without a collection, and never if the interval is 0', () => {
    const { history, addAt, setTime } = setUp()
    assert.equal(history.isDue(), true)
    addAt(0)
    for (const [ms, isDue] of [
      [15_000, false],
      [16_600, true],
    ] as const) {
      setTime(ms)
      assert.equal(history.isDue(), isDue)
    }
    assert.equal(setUp(0).history.isDue(), false)
  })

  test('polling starts a few collections per tick, one per server, until it is stopped', async (t) => {
    t.mock.timers.enable({ apis: ['setInterval'] })
    const running = new Set<() => void>()
    let started = 0
    const servers = Array.from({ length: 20 }, () => ({
      history: createHistory({ intervalMs: 10_000 }),
      collect: () => {
        started++
        return new Promise<void>((resolve) => running.add(resolve))
      },
    }))
    const stop = pollServers(() => servers)
    t.mock.timers.tick(1000)
    assert.equal(started, 2)
    t.mock.timers.tick(20_000)
    assert.equal(started, 20)
    for (const resolve of running) resolve()
    await turn()
    stop()
    t.mock.timers.tick(20_000)
    assert.equal(started, 20)
  })
})
