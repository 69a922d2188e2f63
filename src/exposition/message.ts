import type { Family, MetricType } from '../metrics/family.js'
import { hasCounts, labelStart, width } from '../metrics/family.js'
import { exposedName } from './metric-names.js'
import type { Steps } from './slices.js'
import {
  close,
  closeMessage,
  open,
  openMessage,
  reserve,
  writeDouble,
  writeString,
  writeUint,
  type Out,
} from './wire.js'

/** Writes the value of one row, which begins at that index of `values`, as a field of its Metric. */
type ValueWriter = (at: number, created: number) => void

const EQUALS = 0x3d
const QUOTE = 0x22
const BACKSLASH = 0x5c
const LETTER_N = 0x6e
const NEWLINE = 0x0a

// Room for a row's own fields and for moving what turns out longer than 127 bytes; and for a bucket's.
const ROW_MARGIN = 96
const BUCKET_MARGIN = 24
export const DOUBLE_BYTES = 8
// About half a millisecond's work.
const STEP_BYTES = 32 * 1024

/** The MetricType, and the field of the Metric that has its value. */
const TYPES: Readonly<Record<MetricType, readonly [type: number, field: number]>> = {
  counter: [0, 3],
  gauge: [1, 2],
  summary: [2, 4],
  unknown: [3, 5],
  histogram: [4, 7],
  // There is no info: as in the text format it is a gauge.
  info: [1, 2],
}

/** Writes a family anew; returns the gaps before its values where each is one double, see `Layout`. */
export function* writeFamily(out: Out, family: Family, rows: Uint32Array): Steps<Uint32Array> {
  const { type, help, unit, labels, created, timestampMs } = family
  const isCountable = countable(family)
  const [typeNumber, field] = TYPES[type]
  const columns = width(family)
  const start = out.length
  openMessage(out)
  writeString(out, 1, exposedName(family, 'text'))
  if (help !== '') writeString(out, 2, help)
  writeUint(out, 3, typeNumber)

  const writeValue = valueWriter(out, family)
  const margin = columns * BUCKET_MARGIN + ROW_MARGIN
  let stepEnd = out.length + STEP_BYTES
  const gaps = new Uint32Array(hasCounts(type) ? 0 : rows.length)
  let valueEnd = start
  let written = 0
  for (const row of rows) {
    if (!isCountable(row)) continue
    const from = labelStart(labels.ends, row)
    const to = labels.ends[row]!
    // `a="",` is seven bytes here, and no text grows by more.
    reserve(out, 2 * (to - from) + margin)
    const metric = open(out, 4)
    writeLabels(out, labels.bytes, from, to)
    const value = open(out, field)
    writeValue(row * columns, created ? created[row]! : NaN)
    close(out, value)
    if (timestampMs !== undefined) writeUint(out, 6, timestampMs)
    const length = out.length
    close(out, metric)
    // A value's length and the tag of its double stand before the double; `close` may move it all.
    const valueAt = value + 2 + out.length - length
    if (written < gaps.length) gaps[written] = valueAt - valueEnd
    valueEnd = valueAt + DOUBLE_BYTES
    written++
    if (out.length > stepEnd) {
      stepEnd = out.length + STEP_BYTES
      yield
    }
  }
  // As OpenMetrics has it: Prometheus refuses the scrape for a unit that does not end the name.
  if (unit !== '' && type !== 'info' && family.name.endsWith(`_${unit}`)) writeString(out, 5, unit)
  if (written === 0) {
    out.length = start
    return gaps
  }
  const moved = yield* closeMessage(out, start)
  if (gaps.length > 0) gaps[0]! -= moved
  return gaps
}

function valueWriter(out: Out, { type, bounds, values }: Family): ValueWriter {
  if (!hasCounts(type)) {
    return (at, created) => {
      writeDouble(out, 1, values[at]!)
      if (type === 'counter') writeTimestamp(out, 3, created)
    }
  }
  const isHistogram = type === 'histogram'
  const columns = bounds.length
  return (at, created) => {
    writeCount(out, 1, values[at + columns + 1]!)
    writeDouble(out, 2, values[at + columns]!)
    for (let i = 0; i < columns; i++) {
      const bucket = open(out, 3)
      if (isHistogram) {
        writeCount(out, 1, values[at + i]!)
        writeDouble(out, 2, bounds[i]!)
      } else {
        writeDouble(out, 1, bounds[i]!)
        writeDouble(out, 2, values[at + i]!)
      }
      close(out, bucket)
    }
    writeTimestamp(out, isHistogram ? 15 : 4, created)
  }
}

/** Whether the row's counts have a field: an unsigned integer, in a histogram also a fraction. */
function countable(family: Family): (row: number) => boolean {
  const { type, bounds, values } = family
  const columns = width(family)
  const count = bounds.length + 1
  if (type === 'summary') return (row) => isUint(values[row * columns + count]!)
  if (type !== 'histogram') return () => true
  return (row) => {
    const at = row * columns
    if (!(values[at + count]! >= 0)) return false
    for (let i = 0; i < bounds.length; i++) if (!(values[at + i]! >= 0)) return false
    return true
  }
}

function isUint(value: number): boolean {
  return value >= 0 && value < 2 ** 64 && Number.isInteger(value)
}

/** `sample_count` or `cumulative_count`; what is no integer in the field of the same name and `_float`. */
function writeCount(out: Out, field: number, value: number): void {
  if (isUint(value)) writeUint(out, field, value)
  else writeDouble(out, 4, value)
}

/** A google.protobuf.Timestamp, of which the years end with 9999; none for what is no time since 1970. */
function writeTimestamp(out: Out, field: number, seconds: number): void {
  if (!(seconds >= 0 && seconds < 253_402_300_800)) return
  // A double holds no more than microseconds; without rounding x.123 s would be x.122999 and Prometheus cuts.
  const micros = Math.round(seconds * 1e6)
  const whole = Math.floor(micros / 1e6)
  const timestamp = open(out, field)
  writeUint(out, 1, whole)
  if (micros > whole * 1e6) writeUint(out, 2, (micros - whole * 1e6) * 1000)
  close(out, timestamp)
}

/** Label text as LabelPair messages, the escapes undone. There must be room. */
function writeLabels(out: Out, text: Uint8Array, start: number, end: number): void {
  for (let i = start; i < end;) {
    const pair = open(out, 1)
    const name = open(out, 1)
    i = copyUntil(EQUALS, out, text, i, end)
    close(out, name)
    const value = open(out, 2)
    i = copyUntil(QUOTE, out, text, i + 2, end)
    close(out, value)
    close(out, pair)
    i += 2 // the quotation mark and the comma
  }
}

/** Copies what comes before an unescaped mark; returns where that is. */
function copyUntil(mark: number, out: Out, text: Uint8Array, start: number, end: number): number {
  const to = out.bytes
  let at = out.length
  let i = start
  for (; i < end; i++) {
    let byte = text[i]!
    if (byte === mark) break
    if (byte === BACKSLASH) {
      byte = text[++i]!
      if (byte === LETTER_N) byte = NEWLINE
    }
    to[at++] = byte
  }
  out.length = at
  return i
}

/** Room that mostly suffices, so that a large family is not copied as it grows. */
export function estimate(family: Family, rows: number): number {
  const { type, help, name, labels, length } = family
  const perValue = hasCounts(type) ? 22 : 12
  const labelBytes = ((labels.ends[length - 1] ?? 0) / Math.max(length, 1)) * 1.3
  const perRow =
    labelBytes +
    8 +
    width(family) * perValue +
    (family.created ? 14 : 0) +
    (family.timestampMs ? 7 : 0)
  return Math.ceil(rows * perRow) + 3 * (help.length + name.length) + 4 * ROW_MARGIN
}
