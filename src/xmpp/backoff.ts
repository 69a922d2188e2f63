import type { StreamEnd } from './stream-end.js'

// With pauses of at most 3 s, the exporter is usually online within 5 s after the server returns. After a long outage,
// with pauses of at most 8 s, it is usually online within 10 s.
const LONGEST_PAUSE_MS = 3000
const LONG_OUTAGE_MS = 600_000
const LONGEST_PAUSE_IN_LONG_OUTAGE_MS = 8000
const FIRST_PAUSE_AFTER_EVICTION_MS = 3000
const LONGEST_PAUSE_AFTER_EVICTION_MS = 60_000
// After a stream that was online for at least 10 s, the pause is at most 200 ms again, except after an eviction.
const STEADY_STREAM_MS = 10_000
// After a stream that was online for at least five minutes, the pause after an eviction is at most 3 s again.
const SETTLED_STREAM_MS = 300_000

export type Backoff = {
  /**
   * Returns the time to wait before the next attempt to connect, in milliseconds, with jitter.
   *
   * @param onlineMs How many milliseconds the ended stream was online; undefined if its login did not succeed.
   */
  readonly next: (end: StreamEnd, onlineMs: number | undefined) => number
}

/**
 * Decides when the exporter reconnects: almost immediately after a stream that was online for at least 10 s, then after
 * pauses of at most 3 s. In an outage of more than ten minutes, the pauses are at most 8 s. Except for time-outs and
 * evictions, the pauses do not depend on the reason of a failure, because an operator can fix any problem at any time.
 *
 * An eviction means that Prosody with `component_conflict_resolve = "kick_old"` ends an online stream with `conflict`,
 * because another program logged in as the same component. After evictions the pauses grow to a minute. Otherwise two
 * exporters of one component would evict each other without a pause. A `conflict` before the login is not an eviction.
 */
export function createBackoff({
  now,
  random,
}: {
  now: () => number
  random: () => number
}): Backoff {
  let tries = 0
  let outageSinceMs = now()
  let shortStreams = 0
  let evictions = 0

  const upTo = (ms: number) => ms * (0.5 + 0.5 * random())
  const doubled = (firstMs: number, times: number, longestMs: number) =>
    upTo(Math.min(longestMs, firstMs * 2 ** Math.min(times, 9)))

  function afterOnline(end: StreamEnd, onlineMs: number): number {
    tries = 0
    outageSinceMs = now()
    if (onlineMs >= STEADY_STREAM_MS) shortStreams = 0
    if (onlineMs >= SETTLED_STREAM_MS) evictions = 0
    return end.condition === 'conflict'
      ? doubled(FIRST_PAUSE_AFTER_EVICTION_MS, evictions++, LONGEST_PAUSE_AFTER_EVICTION_MS)
      : doubled(200, shortStreams++, LONGEST_PAUSE_MS)
  }

  return {
    next(end, onlineMs) {
      if (onlineMs !== undefined) return afterOnline(end, onlineMs)
      // A time-out has already taken seconds, so the pause after it is short.
      if (end.kind === 'timeout') return upTo(500)
      const isLong = now() - outageSinceMs >= LONG_OUTAGE_MS
      return doubled(500, tries++, isLong ? LONGEST_PAUSE_IN_LONG_OUTAGE_MS : LONGEST_PAUSE_MS)
    },
  }
}
