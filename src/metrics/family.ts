import { formatLabels, type LabelText } from './labels.js'

/** @see OpenMetrics 1.0.0 §3 Data Model */
export type MetricType = 'counter' | 'gauge' | 'histogram' | 'summary' | 'info' | 'unknown'

/**
 * One metric family of a snapshot. A family is immutable. It stores its series in columns, so that a million
 * series need a few arrays instead of a million objects. A row is one series.
 */
export type Family = {
  /**
   * The name of the family, to which formats add `_total` for a counter and `_info` for an info. The name matches
   * `[a-zA-Z_:][a-zA-Z0-9_:]*`.
   */
  readonly name: string
  readonly type: MetricType
  readonly help: string
  /**
   * The base unit, for example `seconds`, or an empty text. Formats that have units show the unit only if `name` ends
   * with it.
   */
  readonly unit: string
  /**
   * For a histogram, the upper bounds of its buckets in ascending order; the last one of a valid histogram is +Inf. For
   * a summary, its quantiles in ascending order. Empty for the other types.
   */
  readonly bounds: readonly number[]
  /** The number of rows, including those that are not exposed. The rows have the numbers `0 … length - 1`. */
  readonly length: number
  /**
   * The numbers of the exposed rows, in the order of the exposition. Snapshots of a table share this array
   * while only values change.
   */
  readonly order: Uint32Array
  /**
   * The label text of each row, for example `host="a",type="b"`. The label text of a row without labels is
   * empty.
   */
  readonly labels: LabelText
  /** The values of all rows, row by row. `countValuesPerRow` returns how many values each row has. */
  readonly values: Float64Array
  /**
   * When the metric of each row was created, in seconds since 1970; NaN if the source does not report the time.
   * `undefined` if the source reports the time for no row.
   */
  readonly created: Float64Array | undefined
  /**
   * When the values were read, in whole milliseconds since 1970. If present, each sample is exposed with this
   * timestamp.
   */
  readonly timestampMs?: number
  /**
   * Caches the text that exposition/family-text.ts creates for this family. All snapshots of a table share one
   * cache. The text of a family without this field is not cached.
   */
  readonly textCache?: Map<string, unknown>
}

/**
 * Returns the number of values of a row. A counter, gauge, info or unknown has one value. A histogram has its
 * cumulative bucket counts in the order of `bounds`, then its sum, then its count. A summary has its quantile
 * values, then its sum, then its count.
 */
export function countValuesPerRow(family: Pick<Family, 'type' | 'bounds'>): number {
  return isDistribution(family.type) ? family.bounds.length + 2 : 1
}

/**
 * Whether a row of this type has several samples: buckets or quantiles, and the sum and count of observations.
 */
export function isDistribution(type: MetricType): type is 'histogram' | 'summary' {
  return type === 'histogram' || type === 'summary'
}

export type Sample = { readonly labels?: Readonly<Record<string, string>>; readonly value: number }

/** Creates a family that exposes the samples in the given order. For many series, `createTable` is cheaper. */
export function family(
  type: 'counter' | 'gauge',
  name: string,
  help: string,
  samples: readonly Sample[],
): Family {
  const texts = samples.map(({ labels }) => Buffer.from(formatLabels(labels ?? {})))
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
