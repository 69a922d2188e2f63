import { isDistribution, countValuesPerRow, type Family } from '../metrics/family.js'
import {
  copyText,
  MAX_UTF8_BYTES,
  createView,
  reserve,
  type ByteWriter,
  type FamilyEncoder,
} from './bytes.js'
import type { TextFormat } from './metric-names.js'
import { formatValue, putValue } from './number.js'
import { addRow, CREATED, getFamilyText, type FamilyText } from './family-text.js'

// The longest is for example `-1.2345678901234567e-100`.
const VALUE_BYTES = 24
// A timestamp with the space before it and the line feed.
const TIMESTAMP_BYTES = VALUE_BYTES + 2
// The longest suffix, `_created`, and `{} `.
const SUFFIX_BYTES = 11
// `,quantile=""` and a bound.
const ADDED_LABEL_BYTES = 12 + VALUE_BYTES
// `# HELP`, `# TYPE` and `# UNIT` without the names.
const METADATA_BYTES = 80

/**
 * Encodes a family in the text format 0.0.4 or in OpenMetrics 1.0.0.
 *
 * @param withCreated Adds `_created` samples; OpenMetrics only.
 * @see https://prometheus.io/docs/instrumenting/exposition_formats/
 * @see OpenMetrics 1.0.0, Text format
 */
export function createTextEncoder(
  family: Family,
  format: TextFormat,
  withCreated: boolean,
): FamilyEncoder {
  const text = getFamilyText(family, format, withCreated)
  const lineEnd = createView(Buffer.from(formatLineEnd(family, format)))
  return {
    writeStart(out) {
      const { metadata } = text
      reserve(out, metadata.byteLength + computeRowCapacity(family))
      out.length = copyText(out.view, out.length, metadata, 0, metadata.byteLength)
    },
    writeRows(out, rows, first, byteLimit) {
      return writeRows(out, family, text, lineEnd, rows, first, byteLimit)
    },
    writeEnd() {
      // Nothing stands between two families.
    },
  }
}

/** Returns the number of bytes that a family needs at most in a text format. */
export function computeTextCapacity(family: Family): number {
  const { name, help } = family
  // Each character of the help text may become an escape or three bytes.
  return (
    METADATA_BYTES + 3 * name.length + MAX_UTF8_BYTES * 2 * help.length + computeRowCapacity(family)
  )
}

/** Returns the number of bytes that all rows need at most, whatever their values are. */
function computeRowCapacity(family: Family): number {
  const { name, type, bounds, length, labels, order, created, timestampMs } = family
  // The buckets or quantiles, `_count` and `_sum`; and `_created`.
  const lines = (isDistribution(type) ? bounds.length + 2 : 1) + (created ? 1 : 0)
  const addedLabel = isDistribution(type) ? ADDED_LABEL_BYTES : 0
  const end = timestampMs === undefined ? 1 : TIMESTAMP_BYTES
  const lineBytes = name.length + SUFFIX_BYTES + addedLabel + VALUE_BYTES + end
  return lines * (order.length * lineBytes + (labels.ends[length - 1] ?? 0))
}

/**
 * What follows a value: the family's timestamp, if it has one, and a line feed.
 *
 * @see Prometheus text format 0.0.4: milliseconds; OpenMetrics 1.0.0, Timestamps: seconds
 */
function formatLineEnd({ timestampMs }: Family, format: TextFormat): string {
  if (timestampMs === undefined) return '\n'
  return ` ${formatValue(format === 'text' ? timestampMs : timestampMs / 1000)}\n`
}

/** Writes rows from `rows[first]` until `out` is `byteLimit` bytes long; returns the next index. */
function writeRows(
  out: ByteWriter,
  family: Family,
  text: FamilyText,
  lineEnd: DataView,
  rows: Uint32Array,
  first: number,
  byteLimit: number,
): number {
  const { values, created, labels } = family
  const valuesPerRow = countValuesPerRow(family)
  const { samples, starts, ends, view: textView } = text
  const labelView = createView(labels.bytes)
  const { view } = out
  let at = out.length
  let next = first
  for (; next < rows.length && at < byteLimit; next++) {
    const row = rows[next]!
    const firstText = row * samples.length
    if (ends[firstText] === 0) addRow(text, row, labelView, labels.ends)
    let start = starts[row]!
    for (let i = 0; i < samples.length; i++) {
      const { column } = samples[i]!
      const end = ends[firstText + i]!
      const value = column === CREATED ? created![row]! : values[row * valuesPerRow + column]!
      if (column !== CREATED || Number.isFinite(value)) {
        at = copyText(view, at, textView, start, end)
        at = putValue(view, at, value)
        at = copyText(view, at, lineEnd, 0, lineEnd.byteLength)
      }
      start = end
    }
  }
  out.length = at
  return next
}
