import { constants } from 'node:fs'
import { open, rename, rm, type FileHandle } from 'node:fs/promises'
import { isDeepStrictEqual } from 'node:util'
import type { Log } from '../log/log.js'
import {
  createLayout,
  decodeHeader,
  encodeHeader,
  HEADER_BYTES,
  pointToRecord,
  recordToPoint,
  recordToSpan,
  spanToRecord,
  VERSION,
  type FileHeader,
  type FileRecord,
} from './file-layout.js'
import { readAllRecords, readRecords, writeRecords } from './file-records.js'
import { mergeSpans, toSpans, type Span } from './span.js'
import { TRACKS, type Point } from './tracks.js'

/** The history of one server on disk. Two methods must not run at the same time. */
export type HistoryFile = {
  /** The time at which the file was created. Before it, nothing is known. */
  readonly createdAtMs: number
  /** Whether the file still exists, with the header that it had when it was opened. */
  isValid(): Promise<boolean>
  /**
   * Stores points, and the spans of five minutes and of an hour that contain them.
   *
   * @param points The points in the order of time.
   */
  append(points: readonly Point[]): Promise<void>
  /** Reads the points of the last 24 hours. */
  readPoints(fromMs: number, toMs: number): Promise<Point[]>
  /** Reads spans of five minutes (of the last month) or of an hour (of the last two years). */
  readSpans(tier: 'minutes' | 'hours', fromMs: number, toMs: number): Promise<Span[]>
}

/**
 * Before new points, the spans of this time are computed again too: the last point before them was the last one at that
 * time, so its duration was unknown.
 */
const REPEATED_MS = 10 * 60_000

/** The header has only space for a name of a few thousand bytes. The name is for readers of the file. */
const MAX_NAME = 200

const LAYOUT = createLayout()

/**
 * Opens the history file of a server, or creates it. A file that is no history file is renamed, so that nothing is lost.
 *
 * @param options.maxGapMs See `toSpans`.
 * @throws If the file cannot be read or written.
 */
export async function openHistoryFile(
  path: string,
  options: {
    readonly server: string
    readonly nowMs: number
    readonly maxGapMs: number
    readonly log: Log
  },
): Promise<HistoryFile> {
  const header = await prepareFile(path, options)
  const { maxGapMs } = options

  async function withFile<T>(flags: 'r' | 'r+', use: (file: FileHandle) => Promise<T>): Promise<T> {
    const file = await open(path, flags)
    try {
      return await use(file)
    } finally {
      await file.close()
    }
  }

  return {
    createdAtMs: header.createdAtMs,
    isValid: async () => isDeepStrictEqual(await readHeader(path), header),
    append: (points) =>
      withFile('r+', async (file) => {
        if (points.length === 0) return
        await writeRecords(file, LAYOUT.points, points.map(pointToRecord))
        const changedMs = points[0]!.atMs - REPEATED_MS
        const lastMs = points.at(-1)!.atMs
        const fromMs = Math.floor(changedMs / LAYOUT.hours.stepMs) * LAYOUT.hours.stepMs
        const stored = await readRecords(file, LAYOUT.points, fromMs, lastMs)
        const spans = toSpans(stored.map(recordToPoint), maxGapMs)
        for (const tier of [LAYOUT.minutes, LAYOUT.hours]) {
          const merged = mergeSpans(spans, tier.stepMs)
          const isChanged = ({ fromMs }: Span) => fromMs + tier.stepMs > changedMs
          await writeRecords(file, tier, merged.filter(isChanged).map(spanToRecord))
        }
      }),
    readPoints: (fromMs, toMs) =>
      withFile('r', async (file) =>
        (await readRecords(file, LAYOUT.points, fromMs, toMs)).map(recordToPoint),
      ),
    readSpans: (tier, fromMs, toMs) =>
      withFile('r', async (file) =>
        (await readRecords(file, LAYOUT[tier], fromMs, toMs)).map(recordToSpan),
      ),
  }
}

/** Makes sure that the file exists and has the current layout, and returns its header. */
async function prepareFile(
  path: string,
  { server, nowMs, log }: { readonly server: string; readonly nowMs: number; readonly log: Log },
): Promise<FileHeader> {
  const found = await readHeader(path)
  const isKnown = found !== undefined && found !== 'invalid' && found.version === VERSION
  if (isKnown && found.tracks.join() === TRACKS.join()) return found
  const header: FileHeader = {
    version: VERSION,
    server: server.slice(0, MAX_NAME),
    createdAtMs: isKnown ? found.createdAtMs : nowMs,
    tracks: TRACKS,
  }
  // The new file is complete before it gets its name, so that a crash leaves no incomplete file.
  const newPath = `${path}.new`
  await rm(newPath, { force: true, recursive: true })
  const file = await open(newPath, 'wx+', 0o600)
  try {
    await file.truncate(LAYOUT.bytes)
    if (isKnown) await copyRecords(path, found.tracks, file)
    await file.write(encodeHeader(header), 0, HEADER_BYTES, 0)
  } finally {
    await file.close()
  }
  if (found !== undefined && !isKnown) {
    await rm(`${path}.old`, { force: true, recursive: true })
    await rename(path, `${path}.old`)
    const what = found === 'invalid' ? 'is damaged or no history file' : 'is of a newer version'
    log.warn(`the history file ${path} ${what}; starting a new one, and keeping it as ${path}.old`)
  }
  await rename(newPath, path)
  return header
}

/** Returns `undefined` if there is no file, and `invalid` if the file is no history file. */
async function readHeader(path: string): Promise<FileHeader | 'invalid' | undefined> {
  let file: FileHandle
  try {
    // O_NONBLOCK: to open a named pipe would wait for a writer.
    file = await open(path, constants.O_RDONLY | constants.O_NONBLOCK)
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    if (code === 'ENOENT') return undefined
    if (code === 'ENXIO') return 'invalid'
    throw error
  }
  try {
    if (!(await file.stat()).isFile()) return 'invalid'
    const bytes = Buffer.alloc(HEADER_BYTES)
    await file.read(bytes, 0, HEADER_BYTES, 0)
    return decodeHeader(bytes) ?? 'invalid'
  } finally {
    await file.close()
  }
}

/** Copies the records of a file with other tracks, which another version of the exporter wrote. */
async function copyRecords(path: string, tracks: readonly string[], target: FileHandle) {
  const layout = createLayout(tracks)
  const source = await open(path, 'r')
  try {
    for (const name of ['points', 'minutes', 'hours'] as const) {
      const records = await readAllRecords(source, layout[name])
      const length = layout[name].valueCount / tracks.length
      const convert = (record: FileRecord): FileRecord => ({
        ...record,
        values: Float32Array.from(
          TRACKS.flatMap((track) => {
            const at = tracks.indexOf(track) * length
            return Array.from({ length }, (_, i) => (at < 0 ? NaN : record.values[at + i]!))
          }),
        ),
      })
      await writeRecords(target, LAYOUT[name], records.map(convert))
    }
  } finally {
    await source.close()
  }
}
