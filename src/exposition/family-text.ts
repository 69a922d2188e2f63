import { copyInto } from '../metrics/copy-into.js'
import { isDistribution, type Family, type MetricType } from '../metrics/family.js'
import { getLabelStart } from '../metrics/labels.js'
import { copyText, createView } from './bytes.js'
import { getExposedName, type TextFormat } from './metric-names.js'
import { formatBound } from './number.js'
import { hasSumAndCount } from './validity.js'

/**
 * The text of a family in one text format, without the values. It consists of the metadata lines and of the
 * text before each value, for example `name{host="a"} `. The texts of a row are added when the row is first
 * rendered, and never change.
 */
export type FamilyText = {
  /** The lines `# HELP`, `# TYPE` and `# UNIT`. */
  readonly metadata: DataView
  readonly samples: readonly SampleTemplate[]
  /** The text into which the positions in `samples` point. */
  readonly template: DataView
  /** The texts before the values. The texts of all samples of a row are next to each other. */
  view: DataView
  /** The number of bytes of `view` that are written. The rest is spare capacity. */
  length: number
  /** The position in `view` at which the first text of each row begins. */
  starts: Uint32Array
  /**
   * The position in `view` at which each text ends. The index is `row × samples.length + sample`. The position
   * is 0 if the texts of the row have not been added.
   */
  ends: Uint32Array
}

/** Describes one sample that each row of a family has. The positions refer to `FamilyText.template`. */
type SampleTemplate = {
  /** From `headFrom` to `headTo` is the text before the label text: `name{`. */
  readonly headFrom: number
  readonly headTo: number
  /** From `headTo` to `tailTo` is the text between the label text and the value: `} `, or `,le="0.5"} `. */
  readonly tailTo: number
  /**
   * From `tailTo` to `unlabelledTo` is the text before the value of a row without labels: `name `, or
   * `name{le="0.5"} `.
   */
  readonly unlabelledTo: number
  /** The index of the sample's value among the values of a row, or `CREATED` for the creation time. */
  readonly column: number
}

/** The column of a `_created` sample. Its values are in `Family.created` instead of `Family.values`. */
export const CREATED = -1
// A text that must grow gets 25 % spare capacity, because copying the text for each new row would be slow.
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
 * Returns the text of a family, with capacity for all of its rows. The text comes from the cache of the family,
 * if the family has a cache and the cache has the text.
 *
 * @param withCreated Adds `_created` samples. The Prometheus text format ignores this parameter.
 */
export function getFamilyText(
  family: Family,
  format: TextFormat,
  withCreated: boolean,
): FamilyText {
  const { name, type, created, length, labels, textCache } = family
  const hasCreated =
    withCreated && format === 'openmetrics' && created !== undefined && canHaveCreated(type)
  // Families that share a cache can differ in their name, so the name is part of the key.
  const key = `${hasCreated ? 'created' : format} ${name}`
  const text =
    (textCache?.get(key) as FamilyText | undefined) ?? createFamilyText(family, format, hasCreated)
  textCache?.set(key, text)
  const { samples } = text
  let bytes = samples.length * (length === 0 ? 0 : labels.ends[length - 1]!)
  for (const { headFrom, tailTo } of samples) bytes += length * (tailTo - headFrom)
  if (length > text.starts.length || bytes > text.view.byteLength) {
    grow(text, length, bytes)
  }
  return text
}

/** Adds the texts of one row. `getFamilyText` has reserved the capacity for them. */
export function addRow(
  text: FamilyText,
  row: number,
  labels: DataView,
  labelEnds: Uint32Array,
): void {
  const { samples, template, view } = text
  const [from, to] = [getLabelStart(labelEnds, row), labelEnds[row]!]
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

function grow(text: FamilyText, rows: number, bytes: number): void {
  const factor = text.length === 0 ? 1 : GROWTH
  const { buffer, byteOffset } = text.view
  const written = new Uint8Array(buffer, byteOffset, text.length)
  text.view = createView(copyInto(Buffer.allocUnsafeSlow(Math.ceil(bytes * factor)), written))
  const capacity = Math.ceil(rows * factor)
  text.starts = copyInto(new Uint32Array(capacity), text.starts)
  text.ends = copyInto(new Uint32Array(capacity * text.samples.length), text.ends)
}

function createFamilyText(family: Family, format: TextFormat, hasCreated: boolean): FamilyText {
  const { name, type, bounds } = family
  const draft: TemplateDraft = { text: '', samples: [] }
  if (isDistribution(type)) {
    const main = type === 'histogram' ? `${name}_bucket` : name
    const label = type === 'histogram' ? 'le' : 'quantile'
    for (const [column, bound] of bounds.entries()) {
      addSample(draft, main, column, `${label}="${formatBound(bound)}"`)
    }
    if (format === 'text' || hasSumAndCount(family)) {
      addSample(draft, `${name}_count`, bounds.length + 1)
      addSample(draft, `${name}_sum`, bounds.length)
    }
  } else {
    // In both text formats, the sample of a counter ends with `_total`, and the sample of an info with `_info`.
    addSample(draft, getExposedName(family, 'text'), 0)
  }
  // OpenMetrics requires that all samples of a row, including `_created`, are next to each other.
  if (hasCreated) addSample(draft, `${name}_created`, CREATED)
  return {
    metadata: createView(Buffer.from(formatMetadata(family, format))),
    samples: draft.samples,
    template: createView(Buffer.from(draft.text)),
    view: createView(Buffer.alloc(0)),
    length: 0,
    starts: new Uint32Array(0),
    ends: new Uint32Array(0),
  }
}

type TemplateDraft = { text: string; readonly samples: SampleTemplate[] }

/** Adds a sample to the draft. All texts are ASCII, so a position in characters is also a position in bytes. */
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

/**
 * Whether OpenMetrics allows a `_created` sample for the type. A sample `x_created` of a gauge `x` would be
 * another family.
 */
function canHaveCreated(type: MetricType): boolean {
  return type === 'counter' || isDistribution(type)
}

/** Formats the lines `# HELP`, `# TYPE` and `# UNIT` of a family. */
function formatMetadata(family: Family, format: TextFormat): string {
  const { type, unit, help } = family
  const name = getExposedName(family, format)
  if (format === 'text') {
    const helpLine = help === '' ? '' : `# HELP ${name} ${escapeHelp(help)}\n`
    return `${helpLine}# TYPE ${name} ${TYPE_NAMES[type]}\n`
  }
  const hasUnit = unit !== '' && type !== 'info' && name.endsWith(`_${unit}`)
  const unitLine = hasUnit ? `# UNIT ${name} ${unit}\n` : ''
  // OpenMetrics escapes quotation marks in the help text (ABNF, `escaped-string`); the Prometheus text format
  // does not.
  const helpText = escapeHelp(help).replaceAll('"', '\\"')
  const helpLine = help === '' ? '' : `# HELP ${name} ${helpText}\n`
  return `# TYPE ${name} ${type}\n${unitLine}${helpLine}`
}

function escapeHelp(help: string): string {
  return help.replaceAll('\\', '\\\\').replaceAll('\n', '\\n')
}
