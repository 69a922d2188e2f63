import type { Family, MetricType } from '../metrics/family.js'
import { hasCounts, labelStart, width } from '../metrics/family.js'
import {
  copyText,
  MAX_UTF8_BYTES,
  viewOf,
  reserve,
  writeText,
  type ByteWriter,
  type FamilyEncoder,
} from './bytes.js'
import { exposedName, type TextFormat } from './metric-names.js'
import { formatBound, formatValue, putValue } from './number.js'
import { hasSum } from './validity.js'

/**
 * What is the same in each row of a family: all bytes but the label sets, the values and the times of
 * creation. The numbers are positions in `text`.
 */
type RowTemplate = {
  readonly text: DataView
  readonly samples: readonly SampleTemplate[]
  /** After each value: the family's timestamp, if it has one, and a line feed. */
  readonly endFrom: number
  readonly endTo: number
}

type SampleTemplate = {
  /** Before the label set: `name{`. */
  readonly headFrom: number
  readonly headTo: number
  /** Between the label set and the value: `} `, or `,le="0.5"} `. */
  readonly tailTo: number
  /** Everything before the value in a row without labels: `name `, or `name{le="0.5"} `. */
  readonly unlabelledTo: number
  /** The position of the value among the row's values, or `CREATED`. */
  readonly column: number
}

/** The column of `_created`, whose values are the family's times of creation. */
const CREATED = -1
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

const TYPE_NAMES: Readonly<Record<MetricType, string>> = {
  counter: 'counter',
  gauge: 'gauge',
  histogram: 'histogram',
  summary: 'summary',
  info: 'gauge',
  unknown: 'untyped',
}

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
  const template = rowTemplate(family, format, withCreated)
  return {
    writeStart(out) {
      writeText(out, metadataOf(family, format))
      reserve(out, rowCapacity(family))
    },
    writeRows(out, rows, first, byteLimit) {
      return writeRows(out, family, template, rows, first, byteLimit)
    },
    writeEnd() {
      // Nothing stands between two families.
    },
  }
}

/** Returns the number of bytes that a family needs at most in a text format. */
export function textCapacity(family: Family): number {
  const { name, help } = family
  // Each character of the help text may become an escape or three bytes.
  return METADATA_BYTES + 3 * name.length + MAX_UTF8_BYTES * 2 * help.length + rowCapacity(family)
}

/** Returns the number of bytes that all rows need at most, whatever their values are. */
function rowCapacity(family: Family): number {
  const { name, type, bounds, length, labels, order, created, timestampMs } = family
  // The buckets or quantiles, `_count` and `_sum`; and `_created`.
  const lines = (hasCounts(type) ? bounds.length + 2 : 1) + (created ? 1 : 0)
  const addedLabel = hasCounts(type) ? ADDED_LABEL_BYTES : 0
  const end = timestampMs === undefined ? 1 : TIMESTAMP_BYTES
  const lineBytes = name.length + SUFFIX_BYTES + addedLabel + VALUE_BYTES + end
  return lines * (order.length * lineBytes + (labels.ends[length - 1] ?? 0))
}

/** The lines before the family's rows. */
function metadataOf(family: Family, format: TextFormat): string {
  const { type, unit, help } = family
  const name = exposedName(family, format)
  if (format === 'text') {
    const helpLine = help === '' ? '' : `# HELP ${name} ${escapeHelp(help)}\n`
    return `${helpLine}# TYPE ${name} ${TYPE_NAMES[type]}\n`
  }
  const hasUnit = unit !== '' && type !== 'info' && name.endsWith(`_${unit}`)
  const unitLine = hasUnit ? `# UNIT ${name} ${unit}\n` : ''
  // Only OpenMetrics escapes the quotation mark here (ABNF, `escaped-string`).
  const helpText = escapeHelp(help).replaceAll('"', '\\"')
  const helpLine = help === '' ? '' : `# HELP ${name} ${helpText}\n`
  return `# TYPE ${name} ${type}\n${unitLine}${helpLine}`
}

function escapeHelp(help: string): string {
  return help.replaceAll('\\', '\\\\').replaceAll('\n', '\\n')
}

function rowTemplate(family: Family, format: TextFormat, withCreated: boolean): RowTemplate {
  const { name, type, bounds, created, timestampMs } = family
  const draft: TemplateDraft = { text: '', samples: [] }
  if (hasCounts(type)) {
    const main = type === 'histogram' ? `${name}_bucket` : name
    const label = type === 'histogram' ? 'le' : 'quantile'
    for (const [column, bound] of bounds.entries()) {
      addSample(draft, main, column, `${label}="${formatBound(bound)}"`)
    }
    if (format === 'text' || hasSum(family)) {
      addSample(draft, `${name}_count`, bounds.length + 1)
      addSample(draft, `${name}_sum`, bounds.length)
    }
  } else {
    // The samples of a counter and of an info have their suffix in both formats.
    addSample(draft, exposedName(family, 'text'), 0)
  }
  const hasCreated =
    withCreated && format === 'openmetrics' && created !== undefined && canHaveCreated(type)
  // OpenMetrics groups samples by metric: the `_created` of a row is next to its other samples.
  if (hasCreated) addSample(draft, `${name}_created`, CREATED)
  const endFrom = draft.text.length
  draft.text += timestampMs === undefined ? '\n' : timestampEnd(timestampMs, format)
  return {
    text: viewOf(Buffer.from(draft.text)),
    samples: draft.samples,
    endFrom,
    endTo: draft.text.length,
  }
}

type TemplateDraft = { text: string; readonly samples: SampleTemplate[] }

/** Adds a sample; its texts are ASCII, so the position of a character is that of its byte. */
function addSample(draft: TemplateDraft, name: string, column: number, label = ''): void {
  const head = `${name}{`
  const tail = label === '' ? '} ' : `,${label}} `
  const unlabelled = label === '' ? `${name} ` : `${name}{${label}} `
  const headFrom = draft.text.length
  const headTo = headFrom + head.length
  const tailTo = headTo + tail.length
  const unlabelledTo = tailTo + unlabelled.length
  draft.text += head + tail + unlabelled
  draft.samples.push({ headFrom, headTo, tailTo, unlabelledTo, column })
}

/** In OpenMetrics a gauge's `_created` would be a family of its own. */
function canHaveCreated(type: MetricType): boolean {
  return type === 'counter' || hasCounts(type)
}

/**
 * A timestamp and the end of its line.
 *
 * @see Prometheus text format 0.0.4: milliseconds; OpenMetrics 1.0.0, Timestamps: seconds
 */
function timestampEnd(timestampMs: number, format: TextFormat): string {
  return ` ${formatValue(format === 'text' ? timestampMs : timestampMs / 1000)}\n`
}

/** Writes rows from `rows[first]` until `out` is `byteLimit` bytes long; returns the next index. */
function writeRows(
  out: ByteWriter,
  { type, bounds, values, labels, created }: Family,
  { text, samples, endFrom, endTo }: RowTemplate,
  rows: Uint32Array,
  first: number,
  byteLimit: number,
): number {
  const labelView = viewOf(labels.bytes)
  const { view } = out
  const columns = width({ type, bounds })
  let next = first
  let at = out.length
  for (; next < rows.length && at < byteLimit; next++) {
    const row = rows[next]!
    const labelsFrom = labelStart(labels.ends, row)
    const labelsTo = labels.ends[row]!
    for (const sample of samples) {
      const { column } = sample
      const value = column === CREATED ? created![row]! : values[row * columns + column]!
      if (column === CREATED && !Number.isFinite(value)) continue
      at = putName(view, at, text, sample, labelView, labelsFrom, labelsTo)
      at = putValue(view, at, value)
      at = copyText(view, at, text, endFrom, endTo)
    }
  }
  out.length = at
  return next
}

/** Writes the name and the labels of a sample. */
function putName(
  target: DataView,
  start: number,
  text: DataView,
  sample: SampleTemplate,
  labels: DataView,
  labelsFrom: number,
  labelsTo: number,
): number {
  if (labelsFrom === labelsTo) {
    return copyText(target, start, text, sample.tailTo, sample.unlabelledTo)
  }
  const headEnd = copyText(target, start, text, sample.headFrom, sample.headTo)
  const labelsEnd = copyText(target, headEnd, labels, labelsFrom, labelsTo)
  return copyText(target, labelsEnd, text, sample.headTo, sample.tailTo)
}
