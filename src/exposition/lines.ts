import { VALUE_BYTES, writeSample, type Bytes } from './bytes.js'
import type { Family, MetricType } from '../metrics/family.js'
import { hasCounts, labelStart, width } from '../metrics/family.js'
import type { Layout } from './memo.js'
import { exposedName, type Format } from './metric-names.js'
import { formatBound } from './number.js'
import type { Task } from './slices.js'
import { hasSum } from './validity.js'

/** The lines of each row: a sample's name, its label of its own if any, and which of the row's values. */
export type Line = {
  readonly name: Uint8Array
  readonly extra: Uint8Array
  readonly column: number
}

/** Values that are rendered between two questions whether others want their turn. */
export const VALUES_PER_STEP = 4096

const NONE = Buffer.alloc(0)
// Of what stands around name, labels and value: `{,} `, and a longest suffix of ours, `_created`.
const PUNCTUATION_BYTES = 4
const SUFFIX_BYTES = 8

const TEXT_TYPES: Readonly<Record<MetricType, string>> = {
  counter: 'counter',
  gauge: 'gauge',
  histogram: 'histogram',
  summary: 'summary',
  info: 'gauge',
  unknown: 'untyped',
}

/** The lines that every row of the family has, in their order. */
export function linesOf(family: Family, format: Format): Line[] {
  const { name, type, bounds } = family
  if (!hasCounts(type)) {
    // Counter and info have their suffix in both formats.
    return [{ name: Buffer.from(exposedName(family, 'text')), extra: NONE, column: 0 }]
  }
  const main = Buffer.from(type === 'histogram' ? `${name}_bucket` : name)
  const label = type === 'histogram' ? 'le' : 'quantile'
  const lines = bounds.map((bound, column): Line => {
    return { name: main, extra: Buffer.from(`${label}="${formatBound(bound)}"`), column }
  })
  if (format === 'text' || hasSum(family)) {
    lines.push({ name: Buffer.from(`${name}_count`), extra: NONE, column: bounds.length + 1 })
    lines.push({ name: Buffer.from(`${name}_sum`), extra: NONE, column: bounds.length })
  }
  return lines
}

/**
 * Writes a family's rows anew.
 *
 * @param layout Its gaps are filled in.
 * @param created Times of creation to write, if any.
 */
export function writingRows(
  out: Bytes,
  family: Family,
  format: Format,
  { rows, gaps }: Layout,
  created: Float64Array | undefined,
): Task {
  const { values, labels } = family
  const { bytes, ends } = labels
  const lines = linesOf(family, format)
  const createdName = Buffer.from(`${family.name}_created`)
  const columns = width(family)
  const rowsPerStep = Math.ceil(VALUES_PER_STEP / Math.max(lines.length, 1))
  let valueEnd = out.length
  let next = 0
  let first = 0
  return () => {
    const end = Math.min(rows.length, first + rowsPerStep)
    for (; first < end; first++) {
      const row = rows[first]!
      const from = labelStart(ends, row)
      const to = ends[row]!
      for (const { name, extra, column } of lines) {
        const value = values[row * columns + column]!
        gaps[next++] = writeSample(out, name, bytes, from, to, extra, value) - valueEnd
        valueEnd = out.length - 1 // before the line feed
      }
      const seconds = created?.[row] ?? NaN
      // OpenMetrics groups by metric: a row's _created stands beside it, not after all rows.
      if (Number.isFinite(seconds)) writeSample(out, createdName, bytes, from, to, NONE, seconds)
    }
    return first === rows.length
  }
}

/** Bytes that suffice for the family's rows, whatever its values. */
export function roomFor(family: Family, format: Format, created: boolean): number {
  const { name, length, labels, order } = family
  const lines = linesOf(family, format)
  const nameBytes = Buffer.byteLength(name)
  const each = (sum: number, { extra }: Line) =>
    sum + nameBytes + SUFFIX_BYTES + PUNCTUATION_BYTES + extra.length + VALUE_BYTES
  const perRow = lines.reduce(each, created ? each(0, { ...lines[0]!, extra: NONE }) : 0)
  const labelBytes = labels.ends[length - 1] ?? 0
  return order.length * perRow + labelBytes * (lines.length + Number(created))
}

/** The lines that stand before the family's rows. */
export function metadataOf(family: Family, format: Format): Uint8Array {
  const { type, unit, help } = family
  const name = exposedName(family, format)
  if (format === 'text') {
    const helpLine = help === '' ? '' : `# HELP ${name} ${escapeHelp(help)}\n`
    return Buffer.from(`${helpLine}# TYPE ${name} ${TEXT_TYPES[type]}\n`)
  }
  const hasUnit = unit !== '' && type !== 'info' && name.endsWith(`_${unit}`)
  const unitLine = hasUnit ? `# UNIT ${name} ${unit}\n` : ''
  // Only OpenMetrics escapes the quotation mark here (ABNF, `escaped-string`).
  const helpText = escapeHelp(help).replaceAll('"', '\\"')
  const helpLine = help === '' ? '' : `# HELP ${name} ${helpText}\n`
  return Buffer.from(`# TYPE ${name} ${type}\n${unitLine}${helpLine}`)
}

function escapeHelp(help: string): string {
  return help.replaceAll('\\', '\\\\').replaceAll('\n', '\\n')
}
