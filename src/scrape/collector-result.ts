import type { Collected } from '../collectors/collector.js'

/** The output of a collector, and the time of its collection. */
export type CollectorOutput = {
  readonly collected: Collected
  /** Unix time. */
  readonly startedAtSeconds: number
  /** Unix time. */
  readonly endedAtSeconds: number
  /** The same point in time as `endedAtSeconds`, in monotonic milliseconds. */
  readonly endedAtMs: number
}

/** The result of one collector in one collection. */
export type CollectorResult = {
  readonly name: string
  /** The output of the collector. It is absent if the collector failed completely. */
  readonly output?: CollectorOutput
  /** Why all or a part of the output is missing. */
  readonly error?: unknown
  /**
   * Whether the server had nothing that the collector can query. If the server did not answer, this is the state at its
   * last answer. Default: false.
   */
  readonly isIdle?: boolean
  readonly durationSeconds: number
}
