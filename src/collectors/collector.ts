import type { Family } from '../metrics/family.js'

/** A source of statistics. CONTRIBUTING.md, "Add a collector", describes how to add one. */
export type Collector = {
  /** Value of the label `collector` of the exporter's own metrics. */
  readonly name: string
  /**
   * Reads the source and returns its metric families.
   *
   * @param options.timeoutMs Maximum duration of the collection, in milliseconds.
   * @throws An error of `src/errors.ts`, or a `CollectorError` (failure.ts) that advises the operator.
   */
  collect(options: { readonly timeoutMs: number }): Promise<Collected>
}

export type Collected = {
  /** The families of the server. */
  readonly families: readonly Family[]
  /** Families about this collection, named `prosody_exporter_…`. */
  readonly exporterFamilies?: readonly Family[]
  /** The number of invalid series, by the name of their family. */
  readonly invalid: ReadonlyMap<string, number>
  /** The number of series omitted because of `limits.series`, by the name of their family. */
  readonly omitted?: ReadonlyMap<string, number>
  /** Why a part is missing. The collection counts as failed, and the rest is served. */
  readonly failure?: unknown
  /** Whether all families are cached, so that they do not show that the server answers. Default: false. */
  readonly isFromCache?: boolean
  /** Whether no host supports the request. If so, nothing is exported about the collector. Default: false. */
  readonly isIdle?: boolean
}
