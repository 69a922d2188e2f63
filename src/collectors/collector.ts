import type { Family } from '../metrics/family.js'

/** Reads statistics from one XMPP server. CONTRIBUTING.md, "Add a collector", describes how to add a collector. */
export type Collector = {
  /** Value of the label `collector` of the exporter's own metrics. */
  readonly name: string
  /**
   * Reads the statistics and returns them as metric families.
   *
   * @param options.timeoutMs The time in milliseconds after which the collection fails.
   * @throws An error of `src/errors.ts`, or a `CollectorError` (failure.ts) that advises the operator.
   */
  collect(options: { readonly timeoutMs: number }): Promise<Collected>
}

export type Collected = {
  /** The families that describe the XMPP server. */
  readonly families: readonly Family[]
  /** Families that describe this collection. Their names begin with `prosody_exporter_`. */
  readonly exporterFamilies?: readonly Family[]
  /** For each family name, the number of series that are not exported because they are invalid. */
  readonly invalid: ReadonlyMap<string, number>
  /** For each family name, the number of series that are not exported because of the setting `limits.series`. */
  readonly omitted?: ReadonlyMap<string, number>
  /**
   * The error because of which some samples are missing. The collection counts as failed, but the exporter serves
   * `families`.
   */
  readonly failure?: unknown
  /**
   * Whether the collection received no reply from the server, so its families do not show that the server answers.
   * Default: false.
   */
  readonly isFromCache?: boolean
  /**
   * Whether the collector found nothing to export and had no failure, for example because no host supports its request.
   * The exporter then exports no metrics about this collector. Default: false.
   */
  readonly isIdle?: boolean
}
