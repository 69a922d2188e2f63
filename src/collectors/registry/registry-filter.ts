/** Series that the operator drops: a whole family, or the series of a family whose labels all match. */
export type DropRule = {
  /** Tested against the family's name in Prometheus. For a counter, both names count: with and without `_total`. */
  readonly family: RegExp
  readonly labels: ReadonlyMap<string, RegExp>
}

export type RegistryFilter = {
  readonly drop: readonly DropRule[]
  /** A series with a longer label value, in UTF-16 code units, is omitted and counted as invalid. */
  readonly labelValueLength: number
  /**
   * The limit for exported series. The cache holds some more than twice as many, and the largest
   * families are omitted above that. Default: no limit.
   */
  readonly maxSeries?: number
}

export const KEEP_ALL: RegistryFilter = { drop: [], labelValueLength: Infinity }
