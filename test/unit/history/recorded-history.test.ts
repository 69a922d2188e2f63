import assert from 'node:assert/strict'
import {
  chmodSync,
  existsSync,
  mkdtempSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { describe, test, type TestContext } from 'node:test'
import { createTaskQueue } from '../../../src/task-queue.js'
import { createHistory } from '../../../src/history/history.js'
import { RANGES } from '../../../src/history/range.js'
import { recordHistory } from '../../../src/history/recorded-history.js'
import { summarize } from '../../../src/history/server-summary.js'
import { getHistoryPath, prepareStateDirectory } from '../../../src/history/state-directory.js'
import type { Log } from '../../../src/log/log.js'
import type { Family } from '../../../src/metrics/family.js'
import { createCollection, gauge, HOST, START_MS } from '../../support/summary-families.js'

const MINUTE_MS = 60_000
const HOUR_MS = 60 * MINUTE_MS

const getRange = (id: string) => RANGES.find((range) => range.id === id)!

function createLog(): { log: Log; lines: string[] } {
  const lines: string[] = []
  const add = (message: string) => lines.push(message)
  return { log: { debug: add, info: add, warn: add, error: add }, lines }
}

/** A history with a file and a simulated clock. `restart` returns the history of the next run of the exporter. */
function setUp(t: TestContext) {
  const directory = mkdtempSync(join(tmpdir(), 'prosody-exporter-history-'))
  t.after(() => {
    rmSync(directory, { recursive: true })
  })
  const path = getHistoryPath(directory, 'a.example')
  const { log, lines } = createLog()
  const queue = createTaskQueue()
  let nowMs = START_MS
  const start = () => {
    const memory = createHistory({ intervalMs: 15_000, maxPoints: 100, now: () => nowMs })
    return recordHistory(memory, { path, server: 'a.example', queue, log, now: () => nowMs })
  }
  let history = start()
  let unstoredMs = 0
  return {
    path,
    lines,
    getHistory: () => history,
    restart: () => (history = start()),
    getNowMs: () => nowMs,
    /** Lets time pass in which the exporter does not run. */
    skip: (ms: number) => (nowMs += ms),
    /** Adds a summary every 15 s, and stores the history every five minutes. */
    run: async (ms: number, options: { isUp?: boolean; families?: readonly Family[] } = {}) => {
      for (const endMs = nowMs + ms; nowMs < endMs; nowMs += 15_000) {
        history.add(summarize(createCollection({ families: [], ...options }), nowMs))
        if ((unstoredMs += 15_000) >= 5 * MINUTE_MS) {
          unstoredMs = 0
          await history.flush()
        }
      }
    },
  }
}

const clients = (count: number) => [gauge('xmpp_client_connections', [{ host: HOST }, count])]

describe('a history with a file', () => {
  test('has the values of before a restart', async (t) => {
    const { run, getHistory, restart, skip } = setUp(t)
    await run(2 * HOUR_MS, { families: clients(3) })
    await getHistory().flush()
    restart()
    skip(2000)
    await run(HOUR_MS, { families: clients(6) })
    for (const [id, stepMs] of [
      ['4h', 30_000],
      ['30d', HOUR_MS],
      ['2y', 24 * HOUR_MS],
    ] as const) {
      const data = await getHistory().readRange(getRange(id))
      const { average, minimum, maximum } = data.values.clients!
      assert.deepEqual([data.stepMs, minimum.at(0), maximum.at(-1)], [stepMs, 3, 6])
      assert.deepEqual(data.outages, [])
      if (id === '2y') assert.ok(Math.abs(average[0]! - 4) < 0.001)
    }
  })

  test('has the newest values, which are not in the file yet', async (t) => {
    const { run, getHistory } = setUp(t)
    await run(7 * MINUTE_MS, { families: clients(3) })
    await run(2 * MINUTE_MS, { families: clients(9) })
    for (const id of ['1h', '24h', '7d', '1y']) {
      const { values } = await getHistory().readRange(getRange(id))
      assert.equal(values.clients!.maximum.at(-1), 9)
    }
  })

  test('distinguishes a server that is down from an exporter that is not running', async (t) => {
    const { run, getHistory, restart, skip, getNowMs } = setUp(t)
    await run(HOUR_MS)
    const downMs = getNowMs()
    await run(10 * MINUTE_MS, { isUp: false })
    const upMs = getNowMs()
    await run(30 * MINUTE_MS)
    await getHistory().flush()
    restart()
    const stoppedMs = getNowMs()
    skip(20 * MINUTE_MS)
    const startedMs = getNowMs()
    await run(HOUR_MS)
    const { outages } = await getHistory().readRange(getRange('4h'))
    assert.deepEqual(outages, [
      { state: 'down', fromMs: downMs, toMs: upMs },
      { state: 'unknown', fromMs: stoppedMs, toMs: startedMs },
    ])
    for (const id of ['7d', '2y']) {
      const range = await getHistory().readRange(getRange(id))
      const sum = (state: string) =>
        range.outages
          .filter((outage) => outage.state === state)
          .reduce((ms, { fromMs, toMs }) => ms + toMs - fromMs, 0)
      assert.equal(sum('down'), 10 * MINUTE_MS)
      assert.equal(sum('unknown'), 20 * MINUTE_MS)
    }
  })

  test('compares the memory of the server with its memory a day before, in the same run of the server', async (t) => {
    const { run, getHistory, restart, getNowMs } = setUp(t)
    const memory = (bytes: number, startedAtMs: number) => [
      gauge('xmpp_process_resident_memory_bytes', [{}, bytes]),
      gauge('xmpp_start_time_seconds', [{ host: HOST }, startedAtMs / 1000]),
    ]
    const growth = () => getHistory().getMemoryGrowth()
    await run(90 * MINUTE_MS, { families: memory(100, START_MS) })
    assert.equal(growth(), undefined)
    await run(20 * HOUR_MS, { families: memory(150, START_MS) })
    // The first hour does not count. In the hour after it, the memory is 100 for 30 minutes and 150 for 30 minutes.
    assert.deepEqual([growth()!.fromBytes, growth()!.toBytes], [125, 150])
    restart()
    await run(5 * MINUTE_MS, { families: memory(300, START_MS) })
    assert.deepEqual([growth()!.fromBytes, growth()!.toBytes], [125, 300])
    await run(HOUR_MS, { families: memory(50, getNowMs()) })
    assert.equal(growth(), undefined)
  })

  test('logs one line if the file cannot be written, and one when it can be again', async (t) => {
    const { run, getHistory, path, lines } = setUp(t)
    await run(10 * MINUTE_MS, { families: clients(3) })
    const directory = dirname(path)
    renameSync(directory, `${directory}.away`)
    await run(20 * MINUTE_MS, { families: clients(4) })
    assert.deepEqual(lines, [
      `cannot write the history file ${path}: its directory does not exist. Until it can, the page forgets new values after ten minutes; retrying every 5 minutes`,
    ])
    renameSync(`${directory}.away`, directory)
    await run(10 * MINUTE_MS, { families: clients(5) })
    assert.equal(lines.length, 2)
    const { values } = await getHistory().readRange(getRange('1h'))
    assert.equal(values.clients!.average.length, 40 * 4)
  })
})

describe('a history with a file, in trouble,', () => {
  test('continues in a new file if the file was deleted', async (t) => {
    const { run, getHistory, path, lines } = setUp(t)
    await run(10 * MINUTE_MS, { families: clients(3) })
    rmSync(path)
    await run(10 * MINUTE_MS, { families: clients(4) })
    assert.equal(existsSync(path), true)
    const { values } = await getHistory().readRange(getRange('1h'))
    assert.equal(values.clients!.average.at(-1), 4)
    assert.deepEqual(lines, [])
  })

  test('sets a file aside that was overwritten while the exporter was running', async (t) => {
    const { run, path, lines } = setUp(t)
    await run(10 * MINUTE_MS, { families: clients(3) })
    writeFileSync(path, 'hello')
    await run(10 * MINUTE_MS, { families: clients(4) })
    assert.equal(readFileSync(`${path}.old`, 'utf8'), 'hello')
    assert.equal(lines.length, 1)
  })

  test('is read from memory if the disk does not answer', async (t) => {
    const memory = createHistory({ intervalMs: 15_000 })
    const { log } = createLog()
    const queue = <T>() => new Promise<T>(() => undefined)
    const history = recordHistory(memory, { path: '/d/a', server: 'a', queue, log })
    history.add(summarize(createCollection({ families: clients(3) }), Date.now()))
    t.mock.timers.enable({ apis: ['setTimeout'] })
    const reading = history.readRange(getRange('1h'))
    t.mock.timers.tick(60_000)
    const { values } = await reading
    assert.deepEqual(values.clients?.average, [3])
  })

  for (const hours of [-3, 3, -24 * 365, 24 * 365]) {
    test(`has only values and outages of the range after the clock was set by ${hours} hours`, async (t) => {
      const { run, getHistory, skip, getNowMs } = setUp(t)
      await run(62 * MINUTE_MS, { families: clients(3) })
      skip(hours * HOUR_MS)
      const jumpMs = getNowMs()
      // Before and after the new points are stored.
      for (const minutes of [2, 10]) {
        await run(minutes * MINUTE_MS, { families: clients(9) })
        for (const range of RANGES) {
          const { fromMs, toMs, times, values, outages } = await getHistory().readRange(range)
          for (const outage of outages) {
            assert.ok(outage.fromMs < outage.toMs, JSON.stringify(outage))
            assert.ok(outage.fromMs >= fromMs && outage.toMs <= toMs, JSON.stringify(outage))
          }
          assert.deepEqual(
            times,
            times.toSorted((a, b) => a - b),
          )
          assert.ok(
            times.every((time) => time <= toMs),
            range.id,
          )
          assert.equal(values.clients!.maximum.at(-1), 9, range.id)
          // After the clock was set, the server answered all the time.
          assert.ok(
            outages.every((outage) => outage.toMs <= jumpMs),
            JSON.stringify(outages),
          )
        }
      }
    })
  }
})

describe('the state directory', () => {
  test('is created, with access for the exporter only', async (t) => {
    const { path } = setUp(t)
    const directory = join(path, '..', 'new', 'deep')
    const { log, lines } = createLog()
    assert.equal((await prepareStateDirectory(directory, log))?.path, directory)
    assert.deepEqual(lines, [])
  })

  test('is not used if it cannot be written, and the log says so', async (t) => {
    const { path } = setUp(t)
    writeFileSync(path, '')
    chmodSync(path, 0o600)
    const { log, lines } = createLog()
    assert.equal(await prepareStateDirectory(path, log), undefined)
    assert.equal(lines.length, 1)
    assert.match(
      lines[0]!,
      /^cannot write in the state directory .*: it is not a directory\. .*--state\.directory/,
    )
  })

  test('has one file for each name of a server', () => {
    const names = [
      'a.example',
      'A.example',
      'a/b',
      '..',
      'a%2Fb',
      'ü',
      'x'.repeat(500),
      'x'.repeat(501),
    ]
    const paths = names.map((name) => getHistoryPath('/d', name))
    assert.equal(new Set(paths).size, names.length)
    for (const path of paths) assert.match(path, /^\/d\/[^/]{1,255}$/)
  })
})
