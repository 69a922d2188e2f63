import {
  type Family,
  type MetricType,
  isDistribution,
  countValuesPerRow,
} from '../metrics/family.js'
import { getLabelStart } from '../metrics/labels.js'
import { reserve, type ByteWriter, type FamilyEncoder } from './bytes.js'
import { getExposedName } from './metric-names.js'
import {
  closeField,
  closeMessage,
  LENGTH_DELIMITED,
  openField,
  openMessage,
  putLength,
  encodeTag,
  countVarintBytes,
  writeDouble,
  writeString,
  writeUint,
} from './protobuf-wire.js'

const LABEL_TAG = encodeTag(1, LENGTH_DELIMITED)
const LABEL_NAME_TAG = encodeTag(1, LENGTH_DELIMITED)
const LABEL_VALUE_TAG = encodeTag(2, LENGTH_DELIMITED)
const EQUALS = 0x3d
const QUOTE = 0x22
const BACKSLASH = 0x5c
const LETTER_N = 0x6e
const NEWLINE = 0x0a

// A number of bytes that suffices for one row without its labels and without its buckets or quantiles.
const ROW_MARGIN = 96
// A number of bytes that suffices for one bucket or quantile.
const BUCKET_MARGIN = 24
// The largest number of bytes of the length of a message.
const LENGTH_MARGIN = 5

/**
 * The number of each type in the protobuf enum MetricType, and the number of the field of Metric that has the
 * value.
 */
const TYPES: Readonly<Record<MetricType, readonly [type: number, field: number]>> = {
  counter: [0, 3],
  gauge: [1, 2],
  summary: [2, 4],
  unknown: [3, 5],
  histogram: [4, 7],
  // The protobuf format has no type for an info, so an info becomes a gauge, as in the Prometheus text format.
  info: [1, 2],
}

/**
 * Encodes a family as a message `io.prometheus.client.MetricFamily` with its length before it. The names, types
 * and rows are those of the Prometheus text format. Rows whose count is NaN or negative, or a fraction in a
 * summary, are omitted, because such a count is invalid, or no field of the message can contain it. A known creation
 * time becomes a start timestamp.
 *
 * @see prometheus/client_model `io/prometheus/client/metrics.proto`; prometheus/prometheus
 *   `prompb/io/prometheus/client/metrics.proto` for `unit`
 */
export function createProtobufEncoder(family: Family): FamilyEncoder {
  const { type, help, unit } = family
  const lengthBytes = countVarintBytes(estimateProtobufSize(family))
  const isEncodable = createRowFilter(family)
  let start = 0
  let hasRows = false
  return {
    writeStart(out) {
      reserve(out, LENGTH_MARGIN)
      start = openMessage(out, lengthBytes)
      writeString(out, 1, getExposedName(family, 'text'))
      if (help !== '') writeString(out, 2, help)
      reserve(out, ROW_MARGIN)
      writeUint(out, 3, TYPES[type][0])
    },
    writeRows(out, rows, first, byteLimit) {
      let next = first
      for (; next < rows.length && out.length < byteLimit; next++) {
        const row = rows[next]!
        if (isEncodable && !isEncodable(row)) continue
        writeMetric(out, family, row)
        hasRows = true
      }
      return next
    },
    writeEnd(out) {
      if (!hasRows) {
        out.length = start
        return
      }
      // Prometheus rejects the whole scrape if the name of a family does not end with its unit.
      const hasUnit = unit !== '' && type !== 'info' && family.name.endsWith(`_${unit}`)
      if (hasUnit) writeString(out, 5, unit)
      reserve(out, LENGTH_MARGIN)
      closeMessage(out, start, lengthBytes)
    },
  }
}

/**
 * Estimates how many bytes the encoded family needs. With a good estimate, a large buffer is rarely copied to
 * grow.
 */
export function estimateProtobufSize(family: Family): number {
  const { type, help, name, labels, length, order } = family
  const perValue = isDistribution(type) ? 22 : 12
  const labelBytes = ((labels.ends[length - 1] ?? 0) / Math.max(length, 1)) * 1.3
  const perRow =
    labelBytes +
    8 +
    countValuesPerRow(family) * perValue +
    (family.created ? 14 : 0) +
    (family.timestampMs ? 7 : 0)
  return Math.ceil(order.length * perRow) + 3 * (help.length + name.length) + 4 * ROW_MARGIN
}

/**
 * Returns a function that decides whether protobuf can encode the counts of a row; `undefined` if it can encode
 * every row.
 */
function createRowFilter(family: Family): ((row: number) => boolean) | undefined {
  const { type, bounds, values } = family
  const columns = countValuesPerRow(family)
  const count = bounds.length + 1
  if (type === 'summary') return (row) => isUint(values[row * columns + count]!)
  if (type !== 'histogram') return undefined
  return (row) => {
    const at = row * columns
    // Protobuf has a field for a fractional count of a histogram, so a fraction is no reason to omit the row.
    if (!(values[at + count]! >= 0)) return false
    for (let i = 0; i < bounds.length; i++) if (!(values[at + i]! >= 0)) return false
    return true
  }
}

function isUint(value: number): boolean {
  return value >= 0 && value < 2 ** 64 && Number.isInteger(value)
}

/**
 * Writes a row as a message Metric: its labels, its value and, if the family has a timestamp, this timestamp.
 */
function writeMetric(out: ByteWriter, family: Family, row: number): void {
  const { type, labels, timestampMs } = family
  const columns = countValuesPerRow(family)
  const from = getLabelStart(labels.ends, row)
  const to = labels.ends[row]!
  // Protobuf needs less than twice the bytes of the label text. The worst case is `a="",`, whose five bytes
  // become seven.
  reserve(out, 2 * (to - from) + columns * BUCKET_MARGIN + ROW_MARGIN)
  const metric = openField(out, 4)
  writeLabels(out, labels.bytes, from, to)
  const value = openField(out, TYPES[type][1])
  const created = family.created ? family.created[row]! : NaN
  if (isDistribution(type)) writeCounts(out, family, row * columns, created)
  else {
    writeDouble(out, 1, family.values[row]!)
    if (type === 'counter') writeTimestamp(out, 3, created)
  }
  closeField(out, value)
  if (timestampMs !== undefined) writeUint(out, 6, timestampMs)
  closeField(out, metric)
}

/** Writes the fields of a message Histogram or Summary. The values of the row begin at `family.values[at]`. */
function writeCounts(out: ByteWriter, family: Family, at: number, created: number): void {
  const { type, bounds, values } = family
  const isHistogram = type === 'histogram'
  writeCount(out, 1, values[at + bounds.length + 1]!)
  writeDouble(out, 2, values[at + bounds.length]!)
  for (let i = 0; i < bounds.length; i++) {
    const bucket = openField(out, 3)
    if (isHistogram) {
      writeCount(out, 1, values[at + i]!)
      writeDouble(out, 2, bounds[i]!)
    } else {
      writeDouble(out, 1, bounds[i]!)
      writeDouble(out, 2, values[at + i]!)
    }
    closeField(out, bucket)
  }
  writeTimestamp(out, isHistogram ? 15 : 4, created)
}

/**
 * Writes an integer to the given field. Writes a fraction to field 4, which is `sample_count_float` or
 * `cumulative_count_float`.
 */
function writeCount(out: ByteWriter, field: number, value: number): void {
  if (isUint(value)) writeUint(out, field, value)
  else writeDouble(out, 4, value)
}

/** Writes a google.protobuf.Timestamp. Times before 1970 or after the year 9999, and NaN, are omitted. */
function writeTimestamp(out: ByteWriter, field: number, seconds: number): void {
  if (!(seconds >= 0 && seconds < 253_402_300_800)) return
  // A time that ends with .123 s can be slightly less as a double. Without rounding to microseconds it would be
  // written as .122999 s, which Prometheus truncates to .122 s.
  const micros = Math.round(seconds * 1e6)
  const whole = Math.floor(micros / 1e6)
  const timestamp = openField(out, field)
  writeUint(out, 1, whole)
  if (micros > whole * 1e6) writeUint(out, 2, (micros - whole * 1e6) * 1000)
  closeField(out, timestamp)
}

/**
 * Writes the label text of a row as LabelPair messages, and replaces its escape sequences. Encoding labels
 * takes most of the time of an exposition, so this function uses local variables and no helper for each byte.
 */
function writeLabels(out: ByteWriter, text: Uint8Array, start: number, end: number): void {
  const { bytes } = out
  let at = out.length
  for (let i = start; i < end;) {
    const pair = at + 1
    bytes[at] = LABEL_TAG
    bytes[at + 2] = LABEL_NAME_TAG
    at += 4
    for (; i < end && text[i] !== EQUALS; i++) bytes[at++] = text[i]!
    at = putLength(bytes, pair + 2, 1, at)
    bytes[at] = LABEL_VALUE_TAG
    const value = at + 1
    at += 2
    i += 2 // Skips the equals sign and the opening quotation mark.
    for (; i < end && text[i] !== QUOTE; i++) {
      let byte = text[i]!
      if (byte === BACKSLASH) {
        byte = text[++i]!
        if (byte === LETTER_N) byte = NEWLINE
      }
      bytes[at++] = byte
    }
    at = putLength(bytes, value, 1, at)
    at = putLength(bytes, pair, 1, at)
    i += 2 // Skips the closing quotation mark and the comma.
  }
  out.length = at
}
