import type { Collected } from '../collectors/collector.js'

/** What a collector returned, and when. */
export type CollectorOutput = {
  readonly collected: Collected
  /** Unix time. */
  readonly startedAtSeconds: number
  /** Unix time. */
  readonly endedAtSeconds: number
  /** The same moment as `endedAtSeconds`, in monotonic milliseconds. */
  readonly endedAtMs: number
}

/** The result of one collector in one collection. */
export type CollectorResult = {
  readonly name: string
  /** Absent if the collector failed completely. */
  readonly output?: CollectorOutput
  /** Why all or a part of the output is missing. */
  readonly error?: unknown
  /** There was nothing to query, now or when the server last answered. Default: false. */
  readonly isIdle?: boolean
  readonly durationSeconds: number
}
