import type { Family } from '../metrics/family.js'

/** One source of statistics. To add one, write a file beside this and name it in `index.ts`. */
export type Collector = {
  /** Value of the label `collector` on our own metrics. */
  readonly name: string
  /**
   * Asks the source and resolves its metric families.
   *
   * @param options.timeoutMs Milliseconds the whole collection may take.
   * @throws Whatever `src/errors.ts` has; `CollectorError` where there is advice to give.
   */
  collect(options: { readonly timeoutMs: number }): Promise<Collected>
}

export type Collected = {
  /** What the server told. */
  readonly families: readonly Family[]
  /** Families of our own about this collection, named `prosody_exporter_…`. */
  readonly about?: readonly Family[]
  /** Series that could not be taken over, by name of their family. */
  readonly invalid: ReadonlyMap<string, number>
}

/** Why a collection failed, as `prosody_exporter_collection_failures_total{reason}` tells it. */
export const REASONS = [
  'link',
  'timeout',
  'not_found',
  'forbidden',
  'refused',
  'decode',
  'internal',
] as const
export type Reason = (typeof REASONS)[number]

/** A collection failed for a reason that somebody can mend: the message says what to change and where. */
export class CollectorError extends Error {
  override name = 'CollectorError'
  constructor(
    readonly reason: Reason,
    message: string,
    options?: ErrorOptions,
  ) {
    super(message, options)
  }
}
