import { labelText, type LabelText } from './labels.js'

/**
 * The metric families of a snapshot: immutable and columnar, so that a million series are a few
 * arrays and not a million objects.
 *
 * @see OpenMetrics 1.0.0 §3 Data Model
 */
export type MetricType = 'counter' | 'gauge' | 'histogram' | 'summary' | 'info' | 'unknown'

export type Family = {
  /** Without `_total` or `_info`; matches `[a-zA-Z_:][a-zA-Z0-9_:]*`. */
  readonly name: string
  readonly type: MetricType
  readonly help: string
  /** Base unit, e.g. `seconds`; empty for none. Shown only where `name` ends in `_unit`. */
  readonly unit: string
  /** Histogram: upper bounds, ascending, the last is +Inf. Summary: quantiles, ascending. Else empty. */
  readonly bounds: readonly number[]
  /** Number of series. Rows below are `0 … length - 1`. */
  readonly length: number
  /** The exposed rows in their order. The snapshots of a table share it while only values change. */
  readonly order: Uint32Array
  /** The label text of each row as between the braces, for example `host="a",type="b"`; may be empty. */
  readonly labels: LabelText
  /** `length × width(family)` values, row by row. */
  readonly values: Float64Array
  /** Seconds since 1970 for each row, NaN if the source does not report it; `undefined`: for no row. */
  readonly created: Float64Array | undefined
  /** When the values were read, in whole milliseconds since 1970. If present, each sample shows it. */
  readonly timestampMs?: number
  /**
   * A cache of the text formats, see exposition/family-text.ts. The snapshots of a table share it. If it is
   * missing, nothing is cached.
   */
  readonly textCache?: Map<string, unknown>
}

/**
 * Returns the number of values of a row: one for counter, gauge, info and unknown. A histogram has its
 * cumulative bucket counts in the order of `bounds`, then sum, then count; a summary has its quantile
 * values, then sum, then count.
 */
export function width(family: Pick<Family, 'type' | 'bounds'>): number {
  return hasCounts(family.type) ? family.bounds.length + 2 : 1
}

/** Whether a row is several samples: a count of observations, their sum, and buckets or quantiles. */
export function hasCounts(type: MetricType): type is 'histogram' | 'summary' {
  return type === 'histogram' || type === 'summary'
}

export type Sample = { readonly labels?: Readonly<Record<string, string>>; readonly value: number }

/** Creates a family of few series, in the given order. */
export function family(
  type: 'counter' | 'gauge',
  name: string,
  help: string,
  samples: readonly Sample[],
): Family {
  const texts = samples.map(({ labels }) => Buffer.from(labelText(labels ?? {})))
  let end = 0
  return {
    name,
    type,
    help,
    unit: '',
    bounds: [],
    length: samples.length,
    order: Uint32Array.from(samples, (_, row) => row),
    labels: {
      bytes: Buffer.concat(texts),
      ends: Uint32Array.from(texts, (t) => (end += t.length)),
    },
    values: Float64Array.from(samples, ({ value }) => value),
    created: undefined,
  }
}
