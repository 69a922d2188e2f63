import assert from 'node:assert/strict'
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  readdirSync,
  rmSync,
  statSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, test, type TestContext } from 'node:test'
import {
  createLayout,
  encodeHeader,
  VERSION,
  type FileHeader,
} from '../../../src/history/file-layout.js'
import { openHistoryFile } from '../../../src/history/history-file.js'
import { getSpanValues } from '../../../src/history/span.js'
import { TRACKS, type Point } from '../../../src/history/tracks.js'
import { execFileSync } from 'node:child_process'

const START_MS = Date.UTC(2026, 0, 1)
const MINUTE_MS = 60_000
const HOUR_MS = 60 * MINUTE_MS
const DAY_MS = 24 * HOUR_MS
const MAX_GAP_MS = MINUTE_MS

/** Creates points every 15 s. Each has the value `getClients(atMs)`. */
function createPoints(
  fromMs: number,
  toMs: number,
  getClients: (atMs: number) => number = () => 1,
): Point[] {
  const points: Point[] = []
  for (let atMs = fromMs; atMs < toMs; atMs += 15_000) {
    points.push({ atMs, isUp: true, clients: getClients(atMs) })
  }
  return points
}

function setUp(t: TestContext, name = 'a.history') {
  const directory = mkdtempSync(join(tmpdir(), 'prosody-exporter-history-'))
  t.after(() => {
    rmSync(directory, { recursive: true })
  })
  const path = join(directory, name)
  const lines: string[] = []
  const add = (message: string) => lines.push(message)
  const log = { debug: add, info: add, warn: add, error: add }
  const open = (nowMs = START_MS) =>
    openHistoryFile(path, { server: 'a.example', nowMs, maxGapMs: MAX_GAP_MS, log })
  return { directory, path, open, log, lines }
}

/** Appends points in batches; by default, as the exporter does, in batches of five minutes. */
async function appendAll(
  file: Awaited<ReturnType<ReturnType<typeof setUp>['open']>>,
  points: readonly Point[],
  batch = 20,
) {
  for (let i = 0; i < points.length; i += batch) await file.append(points.slice(i, i + batch))
}

describe('the history file', () => {
  test('has the points that were stored, and their values exactly as single-precision numbers', async (t) => {
    const { open } = setUp(t)
    const file = await open()
    const all = Object.fromEntries(TRACKS.map((track, i) => [track, i + 0.25]))
    const points = [
      { atMs: START_MS, isUp: true, ...all },
      { atMs: START_MS + 15_000, isUp: false },
      { atMs: START_MS + 30_000, isUp: true, clients: 0 },
    ]
    await file.append(points)
    assert.deepEqual(await file.readPoints(START_MS, START_MS + 30_000), points)
    assert.deepEqual(
      await (await open()).readPoints(START_MS, START_MS + 29_999),
      points.slice(0, 2),
    )
  })

  test('has minimum, average and maximum of five minutes and of an hour', async (t) => {
    const { open } = setUp(t)
    const file = await open()
    // In each five minutes, the first two of 20 values are 10 and 1, and the others are 4.
    const getClients = (atMs: number) => [10, 1][(atMs % (5 * MINUTE_MS)) / 15_000] ?? 4
    await appendAll(file, createPoints(START_MS, START_MS + 2 * HOUR_MS, getClients))
    const end = START_MS + 2 * HOUR_MS
    const minutes = await file.readSpans('minutes', START_MS, end)
    assert.equal(minutes.length, 24)
    const expected = { average: Math.fround((10 + 1 + 18 * 4) / 20), minimum: 1, maximum: 10 }
    for (const [i, span] of minutes.entries()) {
      assert.equal(span.fromMs, START_MS + i * 5 * MINUTE_MS)
      assert.deepEqual([span.upMs, span.downMs], [5 * MINUTE_MS, 0])
      assert.deepEqual(getSpanValues(span, 'clients'), expected)
      assert.equal(getSpanValues(span, 'rooms'), undefined)
    }
    const hours = await file.readSpans('hours', START_MS, end)
    assert.deepEqual(
      hours.map((span) => [span.fromMs, span.upMs, getSpanValues(span, 'clients')]),
      [0, 1].map((i) => [START_MS + i * HOUR_MS, HOUR_MS, expected]),
    )
  })

  test('has how long the server was down', async (t) => {
    const { open } = setUp(t)
    const file = await open()
    const points = createPoints(START_MS, START_MS + HOUR_MS).map((point) => {
      const isDown =
        point.atMs >= START_MS + 20 * MINUTE_MS && point.atMs < START_MS + 27 * MINUTE_MS
      return isDown ? { atMs: point.atMs, isUp: false } : point
    })
    await appendAll(file, points)
    const [hour] = await file.readSpans('hours', START_MS, START_MS + HOUR_MS)
    assert.deepEqual([hour!.upMs, hour!.downMs], [53 * MINUTE_MS, 7 * MINUTE_MS])
  })

  test('has a fixed size, and the last 24 hours in full, a month at five minutes, two years at one hour', async (t) => {
    const { open, path } = setUp(t)
    const file = await open()
    const size = statSync(path).size
    assert.equal(size, createLayout().bytes)
    // Points every 15 s for 800 days would take minutes, so older values are less dense.
    const endMs = START_MS + 800 * DAY_MS
    const monthMs = endMs - 31 * DAY_MS
    for (const [fromMs, toMs, stepMs] of [
      [START_MS, monthMs, HOUR_MS],
      [monthMs, endMs - 2 * DAY_MS, 5 * MINUTE_MS],
    ] as const) {
      for (let dayMs = fromMs; dayMs < toMs; dayMs += DAY_MS) {
        const times = Array.from({ length: DAY_MS / stepMs }, (_, i) => dayMs + i * stepMs)
        await file.append(times.map((atMs) => ({ atMs, isUp: true, clients: 5 })))
      }
    }
    await appendAll(file, createPoints(endMs - 2 * DAY_MS, endMs), 240)
    assert.equal(statSync(path).size, size)
    assert.equal((await file.readPoints(0, endMs - 1)).length, (24 * 3600) / 15)
    const minutes = await file.readSpans('minutes', endMs - 30 * DAY_MS, endMs - 1)
    assert.equal(minutes[0]!.fromMs, endMs - 30 * DAY_MS)
    const hours = await file.readSpans('hours', endMs - 730 * DAY_MS, endMs - 1)
    assert.deepEqual([hours.length, hours[0]!.fromMs], [730 * 24, endMs - 730 * DAY_MS])
  })

  test('ignores records with a wrong checksum, and returns the others', async (t) => {
    const { open, path } = setUp(t)
    const file = await open()
    await appendAll(file, createPoints(START_MS, START_MS + 10 * MINUTE_MS))
    const { points } = createLayout()
    const bytes = readFileSync(path)
    const slot = Math.floor((START_MS + MINUTE_MS) / points.stepMs) % points.slots
    bytes[points.offset + slot * points.recordBytes + 20]! ^= 1
    writeFileSync(path, bytes)
    const times = (await file.readPoints(START_MS, START_MS + HOUR_MS)).map(({ atMs }) => atMs)
    assert.equal(times.length, 39)
    assert.ok(!times.includes(START_MS + MINUTE_MS))
  })

  test('keeps its values if the end of the file is missing', async (t) => {
    const { open, path, lines } = setUp(t)
    await appendAll(await open(), createPoints(START_MS, START_MS + 10 * MINUTE_MS))
    truncateSync(path, createLayout().minutes.offset)
    const file = await open()
    assert.equal((await file.readPoints(START_MS, START_MS + HOUR_MS)).length, 40)
    assert.deepEqual(await file.readSpans('minutes', START_MS, START_MS + HOUR_MS), [])
    assert.deepEqual(lines, [])
  })

  const strange: Record<string, (path: string) => void> = {
    'an empty file': (path) => {
      writeFileSync(path, '')
    },
    'a text file': (path) => {
      writeFileSync(path, 'hello\n'.repeat(2000))
    },
    'a directory': (path) => {
      mkdirSync(path)
    },
    'a named pipe': (path) => {
      execFileSync('mkfifo', [path])
    },
    'a device': (path) => {
      symlinkSync('/dev/zero', path)
    },
    'a file with a header of other data': (path) => {
      const header = { version: VERSION, server: 'a', createdAtMs: 'today' }
      writeFileSync(path, encodeHeader(header as unknown as FileHeader))
    },
    'a file with an empty header': (path) => {
      writeFileSync(path, encodeHeader(null as unknown as FileHeader))
    },
    'a file with a damaged header': (path) => {
      const header = encodeHeader({ version: VERSION, server: 'a', createdAtMs: 0, tracks: TRACKS })
      header[100]! ^= 1
      writeFileSync(path, header)
    },
  }
  for (const [what, create] of Object.entries(strange)) {
    test(`sets ${what} aside with one line`, async (t) => {
      const { open, path, directory, lines } = setUp(t)
      create(path)
      const file = await open()
      await file.append(createPoints(START_MS, START_MS + MINUTE_MS))
      assert.equal((await file.readPoints(START_MS, START_MS + MINUTE_MS)).length, 4)
      assert.deepEqual(readdirSync(directory).sort(), ['a.history', 'a.history.old'])
      assert.deepEqual(lines, [
        `the history file ${path} is damaged or no history file; starting a new one, and keeping it as ${path}.old`,
      ])
    })
  }

  for (const server of ['x'.repeat(5000), `${'x'.repeat(199)}😀`, '\ud800', '"\n']) {
    test(`continues the file of a server with the name ${JSON.stringify(server.slice(0, 3))}… of ${server.length} characters`, async (t) => {
      const { path, log, lines } = setUp(t)
      const options = { server, nowMs: START_MS, maxGapMs: MAX_GAP_MS, log }
      const file = await openHistoryFile(path, options)
      assert.equal(await file.isValid(), true)
      const { createdAtMs } = await openHistoryFile(path, { ...options, nowMs: START_MS + 1 })
      assert.equal(createdAtMs, START_MS)
      assert.deepEqual(lines, [])
    })
  }

  test('sets the file of a newer version aside', async (t) => {
    const { open, path, lines } = setUp(t)
    writeFileSync(
      path,
      encodeHeader({ version: VERSION + 1, server: 'a', createdAtMs: 0, tracks: [] }),
    )
    await open()
    assert.match(lines.join(), /is of a newer version; starting a new one/)
    assert.ok(existsSync(`${path}.old`))
  })

  test('keeps the values of a file with other tracks', async (t) => {
    const { open, path, lines } = setUp(t)
    const file = await open()
    await appendAll(
      file,
      createPoints(START_MS, START_MS + 2 * HOUR_MS, () => 7),
    )
    renameTrack(path, 'lagMs', 'oldName')
    const changed = await open(START_MS + DAY_MS)
    assert.equal(changed.createdAtMs, START_MS)
    const [hour] = await changed.readSpans('hours', START_MS, START_MS + HOUR_MS)
    assert.deepEqual(getSpanValues(hour!, 'clients'), { average: 7, minimum: 7, maximum: 7 })
    assert.equal((await changed.readPoints(START_MS, START_MS + HOUR_MS)).length, 241)
    assert.deepEqual(lines, [])
  })
})

/** Gives a track of a history file another name, as if another version had written the file. */
function renameTrack(path: string, from: string, to: string): void {
  const bytes = readFileSync(path)
  const tracks = TRACKS.map((track) => (track === from ? to : track))
  const header = { version: VERSION, server: 'a.example', createdAtMs: START_MS, tracks }
  encodeHeader(header).copy(bytes)
  writeFileSync(path, bytes)
}
