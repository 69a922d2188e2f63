/**
 * Metric families as a snapshot holds them: immutable and columnar, so that a million series are a
 * few arrays and not a million objects.
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
  /** Rows in the order in which they are exposed; a store's snapshots share it while only values change. */
  readonly order: Uint32Array
  /** Label text of each row as it stands between the braces, e.g. `host="a",type="b"`; may be empty. */
  readonly labels: LabelText
  /** `length × width(family)` values, row by row. */
  readonly values: Float64Array
  /** Seconds since 1970 for each row, NaN where the source does not tell; `undefined`: for none. */
  readonly created: Float64Array | undefined
  /** When the values were read, in whole milliseconds since 1970: shown with each sample, if given. */
  readonly timestampMs?: number
}

/** Label text of all rows in one slab of UTF-8: row `i` is `bytes[ends[i - 1] ?? 0 … ends[i]]`. */
export type LabelText = {
  readonly bytes: Uint8Array
  readonly ends: Uint32Array
}

/** Where the label text of a row begins in the slab. */
export function labelStart(ends: Uint32Array, row: number): number {
  return row === 0 ? 0 : ends[row - 1]!
}

/** The whole slab, not copied. */
export function slabOf({ bytes }: LabelText): Buffer {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
}

/** Label text of one row. */
export function labelsOf(labels: LabelText, row: number): string {
  return slabOf(labels).toString('utf8', labelStart(labels.ends, row), labels.ends[row])
}

/**
 * Values a row has: one for counter, gauge, info and unknown. A histogram has its cumulative bucket
 * counts in the order of `bounds`, then sum, then count; a summary its quantile values, then sum,
 * then count.
 */
export function width(family: Pick<Family, 'type' | 'bounds'>): number {
  return hasCounts(family.type) ? family.bounds.length + 2 : 1
}

/** Whether a row is several samples: a count of observations, their sum, and buckets or quantiles. */
export function hasCounts(type: MetricType): type is 'histogram' | 'summary' {
  return type === 'histogram' || type === 'summary'
}

/** A label value as both text formats write it between quotes. */
export function escapeLabelValue(value: string): string {
  return value.replace(/[\\"\n]/g, (c) => (c === '\n' ? '\\n' : `\\${c}`))
}

/** `{host: 'a', type: 'b'}` as `host="a",type="b"`. Names are taken as they are. */
export function labelText(labels: Readonly<Record<string, string>>): string {
  return Object.entries(labels)
    .map(([name, value]) => `${name}="${escapeLabelValue(value)}"`)
    .join(',')
}

export type Sample = { readonly labels?: Readonly<Record<string, string>>; readonly value: number }

/** A family of few series that we make ourselves, in the order given. */
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
