/** Series that the operator does not want: a whole family, or those whose labels all match. */
export type DropRule = {
  /** Matches the family's name as Prometheus sees it, a counter's with or without `_total`. */
  readonly family: RegExp
  readonly labels: ReadonlyMap<string, RegExp>
}

export type RegistryFilter = {
  readonly drop: readonly DropRule[]
  /** A series with a longer label value, in UTF-16 units, is left out and counted. */
  readonly labelValueLength: number
  /** Of many more than are served not all are kept: the largest families go. Default: no limit. */
  readonly maxSeries?: number
}

export const KEEP_ALL: RegistryFilter = { drop: [], labelValueLength: Infinity }
