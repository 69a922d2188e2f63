import { hasCounts, type Family, type MetricType } from '../metrics/family.js'
import { labelStart } from '../metrics/labels.js'
import { copyText, viewOf } from './bytes.js'
import { exposedName, type TextFormat } from './metric-names.js'
import { formatBound } from './number.js'
import { hasSum } from './validity.js'

/**
 * All text of a family in a text format but the values: the metadata, and the text before each value, for
 * example `name{host="a"} `. A row is added when it is first written, and never changes.
 */
export type FamilyText = {
  /** The lines before the rows. */
  readonly metadata: DataView
  readonly samples: readonly SampleTemplate[]
  /** The texts to which the positions in `samples` refer. */
  readonly template: DataView
  /** The texts before the values. Those of a row are next to each other. */
  view: DataView
  /** Number of bytes that are written in `view`. */
  length: number
  /** Where the first text of each row begins. */
  starts: Uint32Array
  /** Where each text ends, by `row × samples + sample`; 0: the row has not been added. */
  ends: Uint32Array
}

/** A sample that each row of a family has. */
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
export const CREATED = -1
// Rows are added to most tables now and then; spare capacity saves a copy each time.
const GROWTH = 1.25

const TYPE_NAMES: Readonly<Record<MetricType, string>> = {
  counter: 'counter',
  gauge: 'gauge',
  histogram: 'histogram',
  summary: 'summary',
  info: 'gauge',
  unknown: 'untyped',
}

/**
 * Returns the cached text of a family, with capacity for all of its rows. Without a cache it is new.
 *
 * @param withCreated Adds `_created` samples; OpenMetrics only.
 */
export function getFamilyText(
  family: Family,
  format: TextFormat,
  withCreated: boolean,
): FamilyText {
  const { name, type, created, length, labels, textCache } = family
  const hasCreated =
    withCreated && format === 'openmetrics' && created !== undefined && canHaveCreated(type)
  // A table can be exposed under several names.
  const key = `${hasCreated ? 'created' : format} ${name}`
  const text =
    (textCache?.get(key) as FamilyText | undefined) ?? createFamilyText(family, format, hasCreated)
  textCache?.set(key, text)
  const { samples } = text
  let bytes = samples.length * (length === 0 ? 0 : labels.ends[length - 1]!)
  for (const { headFrom, tailTo } of samples) bytes += length * (tailTo - headFrom)
  if (length > text.starts.length || bytes > text.view.byteLength) {
    grow(text, length, length * samples.length, bytes)
  }
  return text
}

/** Adds the texts of one row. The capacity must suffice, see `getFamilyText`. */
export function addRow(
  text: FamilyText,
  row: number,
  labels: DataView,
  labelEnds: Uint32Array,
): void {
  const { samples, template, view } = text
  const [from, to] = [labelStart(labelEnds, row), labelEnds[row]!]
  let at = text.length
  text.starts[row] = at
  for (const [i, sample] of samples.entries()) {
    if (from === to) {
      at = copyText(view, at, template, sample.tailTo, sample.unlabelledTo)
    } else {
      at = copyText(view, at, template, sample.headFrom, sample.headTo)
      at = copyText(view, at, labels, from, to)
      at = copyText(view, at, template, sample.headTo, sample.tailTo)
    }
    text.ends[row * samples.length + i] = at
  }
  text.length = at
}

function grow(text: FamilyText, rows: number, samples: number, bytes: number): void {
  const factor = text.length === 0 ? 1 : GROWTH
  const { buffer, byteOffset } = text.view
  const written = new Uint8Array(buffer, byteOffset, text.length)
  text.view = viewOf(copyInto(Buffer.allocUnsafeSlow(Math.ceil(bytes * factor)), written))
  text.starts = copyInto(new Uint32Array(Math.ceil(rows * factor)), text.starts)
  text.ends = copyInto(new Uint32Array(Math.ceil(samples * factor)), text.ends)
}

function copyInto<T extends { set(from: ArrayLike<number>): void }>(
  target: T,
  from: ArrayLike<number>,
): T {
  target.set(from)
  return target
}

function createFamilyText(family: Family, format: TextFormat, hasCreated: boolean): FamilyText {
  const { name, type, bounds } = family
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
  // OpenMetrics groups samples by metric: the `_created` of a row is next to its other samples.
  if (hasCreated) addSample(draft, `${name}_created`, CREATED)
  return {
    metadata: viewOf(Buffer.from(formatMetadata(family, format))),
    samples: draft.samples,
    template: viewOf(Buffer.from(draft.text)),
    view: viewOf(Buffer.alloc(0)),
    length: 0,
    starts: new Uint32Array(0),
    ends: new Uint32Array(0),
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

/** Formats the lines before the family's rows. */
function formatMetadata(family: Family, format: TextFormat): string {
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
