import type { Family } from '../metrics/family.js'

/** One source of statistics. To add one, write a file beside this and name it in `index.ts`. */
export type Collector = {
  /** Value of the label `collector` on our own metrics. */
  readonly name: string
  /**
   * Asks the source and resolves its metric families.
   *
   * @param options.timeoutMs Milliseconds the whole collection may take.
   * @throws Whatever `src/errors.ts` has; `CollectorError` (failure.ts) where there is advice to give.
   */
  collect(options: { readonly timeoutMs: number }): Promise<Collected>
}

export type Collected = {
  /** What the server told. */
  readonly families: readonly Family[]
  /** Families of our own about this collection, named `prosody_exporter_…`. */
  readonly exporterFamilies?: readonly Family[]
  /** Series that could not be taken over, by name of their family. */
  readonly invalid: ReadonlyMap<string, number>
  /** Series that there was no room to keep, by name of their family: `limits.series`. */
  readonly omitted?: ReadonlyMap<string, number>
  /** Why a part is missing; the collection counts as failed and the rest is served. */
  readonly failure?: unknown
  /** All of it is from memory: it does not show that the server is there. Default: false. */
  readonly isFromCache?: boolean
  /** It asked nobody, or nobody offers what it asks for: nothing is exported of it. Default: false. */
  readonly isIdle?: boolean
}
