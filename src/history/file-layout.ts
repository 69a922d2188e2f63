import { SPAN_VALUES, type Span } from './span.js'
import { fromTrackValues, toTrackValues, TRACKS, type Point } from './tracks.js'

/**
 * The layout of a history file. All numbers are little-endian.
 *
 * The file starts with a header of 4096 bytes: the magic string, one line of JSON (`FileHeader`), bytes with the value 0,
 * and a checksum. After the header follow the tiers. A tier is a ring of records of equal size. The time of a record
 * determines its slot in the ring, so a new record overwrites the one that is a whole ring older:
 *
 *     slot = floor(time / stepMs) mod slots
 *
 * A record has a time (double), two durations (float), the values of all tracks (float; NaN if unknown), and a checksum.
 * A record with a wrong checksum, or with a time that does not belong to its slot, is ignored. So an interrupted write loses
 * only the records that it contains.
 */
export type FileLayout = {
  readonly points: Tier
  readonly minutes: Tier
  readonly hours: Tier
  readonly bytes: number
}

export type Tier = {
  readonly stepMs: number
  readonly slots: number
  /** The number of values in a record: one for each track of a point, and three for each track of a span. */
  readonly valueCount: number
  /** The position of the first record in the file. */
  readonly offset: number
  readonly recordBytes: number
}

export type FileHeader = {
  readonly version: number
  readonly server: string
  readonly createdAtMs: number
  readonly tracks: readonly string[]
}

export const MAGIC = 'prosody-exporter history\n'
export const VERSION = 1
export const HEADER_BYTES = 4096

/** The durations of the spans in a file. */
export const SPAN_MS = { minutes: 5 * 60_000, hours: 3_600_000 } as const

const CHECKSUM_BYTES = 4
/** The time and the two durations. */
const RECORD_HEADER_BYTES = 8 + 2 * 4

export function createLayout(tracks: readonly string[] = TRACKS): FileLayout {
  let offset = HEADER_BYTES
  const addTier = (stepMs: number, slots: number, valueCount: number): Tier => {
    const recordBytes = RECORD_HEADER_BYTES + 4 * valueCount + CHECKSUM_BYTES
    const tier = { stepMs, slots, valueCount, offset, recordBytes }
    offset += slots * recordBytes
    return tier
  }
  return {
    // A slot takes half of the usual 15 s between two points, so that a point that is a little early has a slot of
    // its own.
    points: addTier(7_500, (24 * 3600) / 7.5, tracks.length),
    minutes: addTier(SPAN_MS.minutes, 31 * 24 * 12, SPAN_VALUES.length * tracks.length),
    hours: addTier(SPAN_MS.hours, 731 * 24, SPAN_VALUES.length * tracks.length),
    bytes: offset,
  }
}

export function encodeHeader(header: FileHeader): Buffer {
  const bytes = Buffer.alloc(HEADER_BYTES)
  bytes.write(`${MAGIC}${JSON.stringify(header)}\n`)
  bytes.writeUInt32LE(computeChecksum(bytes, 0, HEADER_BYTES), HEADER_BYTES - CHECKSUM_BYTES)
  return bytes
}

/** Returns `undefined` if the bytes are not those of a header. */
export function decodeHeader(bytes: Buffer): FileHeader | undefined {
  if (bytes.length < HEADER_BYTES || !hasChecksum(bytes, 0, HEADER_BYTES)) return undefined
  const text = bytes.toString('utf8', 0, bytes.indexOf(0))
  if (!text.startsWith(MAGIC)) return undefined
  try {
    const header = JSON.parse(text.slice(MAGIC.length)) as FileHeader
    return isHeader(header) ? header : undefined
  } catch {
    return undefined
  }
}

/** Another version can have other keys. */
const isHeader = ({ version, createdAtMs, tracks }: FileHeader) =>
  Number.isInteger(version) &&
  (version !== VERSION || (Number.isFinite(createdAtMs) && Array.isArray(tracks)))

/** A record of any tier. `values` has the columns of the first track, then those of the second one, and so on. */
export type FileRecord = {
  readonly atMs: number
  readonly upMs: number
  readonly downMs: number
  readonly values: Float32Array
}

export function encodeRecord(tier: Tier, { atMs, upMs, downMs, values }: FileRecord): Buffer {
  const bytes = Buffer.alloc(tier.recordBytes)
  bytes.writeDoubleLE(atMs, 0)
  bytes.writeFloatLE(upMs, 8)
  bytes.writeFloatLE(downMs, 12)
  values.forEach((value, i) => bytes.writeFloatLE(value, RECORD_HEADER_BYTES + 4 * i))
  bytes.writeUInt32LE(
    computeChecksum(bytes, 0, tier.recordBytes),
    tier.recordBytes - CHECKSUM_BYTES,
  )
  return bytes
}

/** Returns the time of the record at `offset`, whose checksum may be wrong. */
export const readRecordTime = (bytes: Buffer, offset: number) => bytes.readDoubleLE(offset)

/** Decodes the record at `offset`. Returns `undefined` if the checksum is wrong. */
export function decodeRecord(tier: Tier, bytes: Buffer, offset: number): FileRecord | undefined {
  const atMs = readRecordTime(bytes, offset)
  if (!hasChecksum(bytes, offset, tier.recordBytes)) return undefined
  const values = new Float32Array(tier.valueCount)
  for (let i = 0; i < values.length; i++) {
    values[i] = bytes.readFloatLE(offset + RECORD_HEADER_BYTES + 4 * i)
  }
  return {
    atMs,
    upMs: bytes.readFloatLE(offset + 8),
    downMs: bytes.readFloatLE(offset + 12),
    values,
  }
}

/** Returns the FNV-1a hash of all 32-bit words of a block but its last one, which has the checksum. */
function computeChecksum(bytes: Buffer, offset: number, length: number): number {
  let hash = 0x811c9dc5
  for (let at = offset; at < offset + length - CHECKSUM_BYTES; at += 4) {
    hash = Math.imul(hash ^ bytes.readInt32LE(at), 0x01000193)
  }
  return hash >>> 0
}

function hasChecksum(bytes: Buffer, offset: number, length: number): boolean {
  const stored = bytes.readUInt32LE(offset + length - CHECKSUM_BYTES)
  return stored === computeChecksum(bytes, offset, length)
}

export function pointToRecord(point: Point): FileRecord {
  return {
    atMs: point.atMs,
    upMs: Number(point.isUp),
    downMs: Number(!point.isUp),
    values: Float32Array.from(toTrackValues(point)),
  }
}

export function recordToPoint({ atMs, upMs, values }: FileRecord): Point {
  return { atMs, isUp: upMs > 0, ...fromTrackValues(values) }
}

export function spanToRecord({ fromMs, ...span }: Span): FileRecord {
  return { ...span, atMs: fromMs }
}

export function recordToSpan({ atMs, ...record }: FileRecord): Span {
  return { ...record, fromMs: atMs }
}
