import { promisify } from 'node:util'
import { gzip } from 'node:zlib'
import {
  createBytes,
  finishBytes,
  writeSample,
  writeText,
  type Bytes,
  type Slice,
} from './bytes.js'
import type { Family, MetricType } from './family.js'
import { width } from './family.js'
import { compareNames, exposedName, type Format } from './names.js'
import { formatBound } from './number.js'
import { collisions, exposableRows, hasSum, textCollisions } from './validity.js'

export type { Format } from './names.js'

export type ExpositionOptions = {
  /** Adds `_created` lines where the source tells the time; OpenMetrics only. */
  readonly created: boolean
  /** Only these families, see `filterFamilies`. Default: all. */
  readonly names?: ReadonlySet<string>
}

export type Exposition = {
  /** The whole exposition, rendered at the first call; not to be changed. */
  bytes(format: Format): Uint8Array<ArrayBuffer>
  /** The same compressed, once: callers at the same time share the work. */
  gzip(format: Format): Promise<Uint8Array<ArrayBuffer>>
}

const compress = promisify(gzip)
const EOF = Buffer.from('# EOF\n')
const NONE = Buffer.alloc(0)

const TEXT_TYPES: Readonly<Record<MetricType, string>> = {
  counter: 'counter',
  gauge: 'gauge',
  histogram: 'histogram',
  summary: 'summary',
  info: 'gauge',
  unknown: 'untyped',
}

/** An exposition of one snapshot, for as many readers as come. */
export function createExposition(
  families: readonly Family[],
  options: ExpositionOptions,
): Exposition {
  const rendered = new Map<Format, Uint8Array<ArrayBuffer>>()
  const compressed = new Map<Format, Promise<Uint8Array<ArrayBuffer>>>()

  function bytes(format: Format): Uint8Array<ArrayBuffer> {
    const result = rendered.get(format) ?? render(families, format, options)
    rendered.set(format, result)
    return result
  }

  return {
    bytes,
    gzip(format) {
      // Level 1: a scrape is read once, and the higher levels cost more time than they save.
      const result = compressed.get(format) ?? compress(bytes(format), { level: 1 })
      compressed.set(format, result)
      return result
    },
  }
}

/**
 * The families in the text format 0.0.4 or OpenMetrics 1.0.0, sorted by exposed name. What a format
 * can't carry is left out, see validity.ts; a family of which no row is left has no metadata either,
 * as in client_golang (`NormalizeMetricFamilies`): missing is missing.
 *
 * Unchanged family objects are rendered once only.
 *
 * @see https://prometheus.io/docs/instrumenting/exposition_formats/
 * @see OpenMetrics 1.0.0, Text format
 */
export function render(
  families: readonly Family[],
  format: Format,
  { created, names }: ExpositionOptions,
): Uint8Array<ArrayBuffer> {
  // Of all families, so that a choice of some shows nothing that the whole does not.
  const leftOut = format === 'text' ? textCollisions(families) : collisions(families)
  const shown = [...new Set(families)].filter((family) => !leftOut.has(family))
  const chunks = (names ? filterFamilies(shown, names) : shown)
    .sort((a, b) => compareNames(exposedName(a, format), exposedName(b, format)))
    .map((family) => renderedFamily(family, format, created))
  if (format === 'openmetrics') chunks.push(EOF)
  return Buffer.concat(chunks)
}

/**
 * The families asked for by name, as `name[]` has it in client_golang's promhttp; all where no name
 * is given. A family's name is the one in the text format (a counter's with `_total`), as there; we
 * take the one in OpenMetrics too. Names of single samples, as `x_bucket`, are nobody's.
 */
export function filterFamilies(families: readonly Family[], names: ReadonlySet<string>): Family[] {
  return families.filter(
    (family) =>
      names.size === 0 || names.has(exposedName(family, 'text')) || names.has(family.name),
  )
}

// From snapshot to snapshot a family is the same object until something in it changes.
const memos = {
  text: new WeakMap<Family, Uint8Array<ArrayBuffer>>(),
  openmetrics: new WeakMap<Family, Uint8Array<ArrayBuffer>>(),
  openmetricsCreated: new WeakMap<Family, Uint8Array<ArrayBuffer>>(),
}

function renderedFamily(family: Family, format: Format, created: boolean): Uint8Array<ArrayBuffer> {
  const withCreated =
    created && format === 'openmetrics' && family.created !== undefined && canHaveCreated(family)
  const memo = withCreated ? memos.openmetricsCreated : memos[format]
  const known = memo.get(family)
  if (known) return known
  const rendered = renderFamily(family, format, withCreated)
  memo.set(family, rendered)
  return rendered
}

function renderFamily(family: Family, format: Format, created: boolean): Uint8Array<ArrayBuffer> {
  const rows = exposableRows(family, format)
  if (rows.length === 0) return NONE
  const out = createBytes(estimate(family, rows.length, created))
  writeMetadata(out, family, format)

  const { labels, values } = family
  const writeRow = rowWriter(out, family, format)
  const createdAt = created ? family.created : undefined
  const createdName = Buffer.from(`${family.name}_created`)
  const columns = width(family)
  const slice: Slice = { bytes: labels.bytes, start: 0, end: 0 }
  for (const row of rows) {
    slice.start = row === 0 ? 0 : labels.ends[row - 1]!
    slice.end = labels.ends[row]!
    writeRow(slice, values, row * columns)
    const seconds = createdAt?.[row] ?? NaN
    // OpenMetrics groups by metric: a row's _created stands beside it, not after all rows.
    if (Number.isFinite(seconds)) writeSample(out, createdName, slice, NONE, seconds)
  }
  return finishBytes(out)
}

/** Of the types we have; a gauge's `_created` would be read as a family of its own. */
function canHaveCreated({ type }: Family): boolean {
  return type === 'counter' || type === 'histogram' || type === 'summary'
}

type RowWriter = (labels: Slice, values: Float64Array, at: number) => void

function rowWriter(out: Bytes, family: Family, format: Format): RowWriter {
  const { name, type, bounds } = family
  if (type === 'histogram' || type === 'summary') {
    const isHistogram = type === 'histogram'
    const main = Buffer.from(isHistogram ? `${name}_bucket` : name)
    const label = isHistogram ? 'le' : 'quantile'
    const extras = bounds.map((bound) => Buffer.from(`${label}="${formatBound(bound)}"`))
    const countName = Buffer.from(`${name}_count`)
    const sumName = Buffer.from(`${name}_sum`)
    const withSum = format === 'text' || hasSum(family)
    return (labels, values, at) => {
      for (let i = 0; i < extras.length; i++) {
        writeSample(out, main, labels, extras[i]!, values[at + i]!)
      }
      if (!withSum) return
      writeSample(out, countName, labels, NONE, values[at + extras.length + 1]!)
      writeSample(out, sumName, labels, NONE, values[at + extras.length]!)
    }
  }
  // Counter and info have their suffix in both formats.
  const sampleName = Buffer.from(exposedName(family, 'text'))
  return (labels, values, at) => {
    writeSample(out, sampleName, labels, NONE, values[at]!)
  }
}

function writeMetadata(out: Bytes, family: Family, format: Format): void {
  const { type, unit, help } = family
  const name = exposedName(family, format)
  if (format === 'text') {
    if (help !== '') writeText(out, `# HELP ${name} ${escapeHelp(help)}\n`)
    writeText(out, `# TYPE ${name} ${TEXT_TYPES[type]}\n`)
    return
  }
  writeText(out, `# TYPE ${name} ${type}\n`)
  if (unit !== '' && type !== 'info' && name.endsWith(`_${unit}`)) {
    writeText(out, `# UNIT ${name} ${unit}\n`)
  }
  // Only OpenMetrics escapes the quotation mark here (ABNF, `escaped-string`).
  if (help !== '') writeText(out, `# HELP ${name} ${escapeHelp(help).replaceAll('"', '\\"')}\n`)
}

function escapeHelp(help: string): string {
  return help.replaceAll('\\', '\\\\').replaceAll('\n', '\\n')
}

/** Room that mostly suffices, so that a large family is not copied as it grows. */
function estimate(family: Family, rows: number, created: boolean): number {
  const { name, bounds, labels, help } = family
  const lines = width(family) + Number(created)
  const labelBytes = (labels.ends[family.length - 1] ?? 0) / Math.max(family.length, 1)
  const extraBytes = bounds.length > 0 ? 16 : 0
  const perLine = name.length + labelBytes + extraBytes + 18
  return Math.ceil(rows * lines * perLine) + help.length + 3 * name.length + 64
}
