import {
  hasCounts,
  labelStart,
  type Family,
  type MetricType,
  type RowTexts,
} from '../metrics/family.js'
import { copyText, viewOf } from './bytes.js'
import { exposedName, type TextFormat } from './metric-names.js'
import { formatBound } from './number.js'
import { hasSum } from './validity.js'

/** The samples of each row of a family in a text format. */
export type RowTemplate = {
  /** Identifies the template in `Family.rowTexts`: a table can be exposed under several names. */
  readonly key: string
  /** The texts of all samples, one after another; the numbers in `samples` are positions in it. */
  readonly text: DataView
  readonly samples: readonly SampleTemplate[]
}

export type SampleTemplate = {
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

/**
 * Returns the template of the rows.
 *
 * @param withCreated Adds `_created` samples; OpenMetrics only.
 */
export function createRowTemplate(
  family: Family,
  format: TextFormat,
  withCreated: boolean,
): RowTemplate {
  const { name, type, bounds, created } = family
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
  return {
    key: `${format} ${name}${hasCreated ? ' with _created' : ''}`,
    text: viewOf(Buffer.from(draft.text)),
    samples: draft.samples,
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

/** Returns the family's cached texts, with capacity for all of its rows. Without a cache they are new. */
export function rowTextsOf(family: Family, { key, samples }: RowTemplate): RowTexts {
  const texts = family.rowTexts?.get(key) ?? createRowTexts()
  family.rowTexts?.set(key, texts)
  const { length, labels } = family
  let bytes = samples.length * (length === 0 ? 0 : labels.ends[length - 1]!)
  for (const { headFrom, tailTo } of samples) bytes += length * (tailTo - headFrom)
  if (length > texts.starts.length || bytes > texts.view.byteLength) {
    grow(texts, length, length * samples.length, bytes)
  }
  return texts
}

function createRowTexts(): RowTexts {
  return {
    view: viewOf(Buffer.alloc(0)),
    length: 0,
    starts: new Uint32Array(0),
    ends: new Uint32Array(0),
  }
}

function grow(texts: RowTexts, rows: number, samples: number, bytes: number): void {
  const factor = texts.length === 0 ? 1 : GROWTH
  const { buffer, byteOffset } = texts.view
  const written = new Uint8Array(buffer, byteOffset, texts.length)
  texts.view = viewOf(copyInto(Buffer.allocUnsafeSlow(Math.ceil(bytes * factor)), written))
  texts.starts = copyInto(new Uint32Array(Math.ceil(rows * factor)), texts.starts)
  texts.ends = copyInto(new Uint32Array(Math.ceil(samples * factor)), texts.ends)
}

function copyInto<T extends { set(from: ArrayLike<number>): void }>(
  target: T,
  from: ArrayLike<number>,
): T {
  target.set(from)
  return target
}

/** Adds the texts of one row. The capacity must suffice, see `rowTextsOf`. */
export function addRowTexts(
  texts: RowTexts,
  { text, samples }: RowTemplate,
  row: number,
  labels: DataView,
  ends: Uint32Array,
): void {
  const { view } = texts
  const [from, to] = [labelStart(ends, row), ends[row]!]
  let at = texts.length
  texts.starts[row] = at
  for (const [i, sample] of samples.entries()) {
    if (from === to) {
      at = copyText(view, at, text, sample.tailTo, sample.unlabelledTo)
    } else {
      at = copyText(view, at, text, sample.headFrom, sample.headTo)
      at = copyText(view, at, labels, from, to)
      at = copyText(view, at, text, sample.headTo, sample.tailTo)
    }
    texts.ends[row * samples.length + i] = at
  }
  texts.length = at
}
