/**
 * A rule of the operator that drops series of the families that match `family`. A series is dropped if all patterns of
 * `labels` match its label values. A rule without labels drops the whole family.
 */
export type DropRule = {
  /** Tested against the Prometheus name of the family. For a counter, the name with or without `_total` can match. */
  readonly family: RegExp
  readonly labels: ReadonlyMap<string, RegExp>
}

export type RegistryFilter = {
  readonly drop: readonly DropRule[]
  /** The maximum length of a label value in UTF-16 code units. A series with a longer value is counted as invalid. */
  readonly labelValueLength: number
  /**
   * The maximum number of exported series (setting `limits.series`). The cache can have twice as many series and
   * 100,000 more. If the server sends more, the cache omits the largest families. Default: no limit.
   */
  readonly maxSeries?: number
}

export const KEEP_ALL: RegistryFilter = { drop: [], labelValueLength: Infinity }
