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

// The largest number of characters of a value, for example `-1.2345678901234567e-100`.
const VALUE_BYTES = 24
// The largest number of bytes of a timestamp, with the space before it and the line feed after it.
const TIMESTAMP_BYTES = VALUE_BYTES + 2
// The bytes of the longest suffix of a sample name, `_created`, and of `{} `.
const SUFFIX_BYTES = 11
// The largest number of bytes that a label `le` or `quantile` adds to a sample.
const ADDED_LABEL_BYTES = 12 + VALUE_BYTES
// At least the bytes of the lines `# HELP`, `# TYPE` and `# UNIT` without the name and the help text of the
// family.
const METADATA_BYTES = 80

/**
 * Encodes a family in the text format 0.0.4 or in OpenMetrics 1.0.0.
 *
 * @param withCreated Adds `_created` samples. The Prometheus text format ignores this parameter.
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
      // Text formats need nothing between two families.
    },
  }
}

/** Returns a number of bytes that suffices for the family in both text formats. */
export function computeTextCapacity(family: Family): number {
  const { name, help } = family
  // Each character of the help text can become an escape sequence of two characters, or up to three bytes of
  // UTF-8.
  return (
    METADATA_BYTES + 3 * name.length + MAX_UTF8_BYTES * 2 * help.length + computeRowCapacity(family)
  )
}

/**
 * Returns a number of bytes that suffices for the exposed rows of the family, independently of their values.
 */
function computeRowCapacity(family: Family): number {
  const { name, type, bounds, length, labels, order, created, timestampMs } = family
  // Each row of a histogram or summary has a line for each bucket or quantile, and one each for `_count` and
  // `_sum`.
  const lines = (isDistribution(type) ? bounds.length + 2 : 1) + (created ? 1 : 0)
  const addedLabel = isDistribution(type) ? ADDED_LABEL_BYTES : 0
  const end = timestampMs === undefined ? 1 : TIMESTAMP_BYTES
  const lineBytes = name.length + SUFFIX_BYTES + addedLabel + VALUE_BYTES + end
  return lines * (order.length * lineBytes + (labels.ends[length - 1] ?? 0))
}

/**
 * Formats the text after a value: the timestamp of the family, if it has one, and a line feed. The unit of a
 * timestamp is milliseconds in the Prometheus text format 0.0.4, and seconds in OpenMetrics 1.0.0
 * ("Timestamps").
 */
function formatLineEnd({ timestampMs }: Family, format: TextFormat): string {
  if (timestampMs === undefined) return '\n'
  return ` ${formatValue(format === 'text' ? timestampMs : timestampMs / 1000)}\n`
}

/** Implements `writeRows` of `FamilyEncoder`. */
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
