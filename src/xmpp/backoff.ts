import type { StreamEnd } from './stream-end.js'

const STEADY_MS = 10_000
// With the dial that follows this is less than 5 s after the server's return, later less than 10 s.
const LONGEST_MS = 3000
const LONG_OUTAGE_MS = 600_000
const LONGEST_LATER_MS = 8000
const FIRST_EVICTION_MS = 3000
const LONGEST_EVICTED_MS = 60_000
const SETTLED_MS = 300_000

export type Backoff = {
  /**
   * How long to wait before the next try, in milliseconds, jitter included.
   *
   * @param onlineMs How long the stream was online; absent when it never was.
   */
  readonly next: (end: StreamEnd, onlineMs: number | undefined) => number
}

/**
 * When to dial again: immediately after a stream that was online, then at most every 3 s; at most every
 * 8 s in an outage of more than ten minutes. Whatever the reason is, somebody may fix it any moment.
 *
 * Only a stream that the server ended for a newer one of the same component (`conflict`, with
 * `kick_old`) is dialled ever more rarely, up to once a minute: two exporters of one component would
 * evict each other without a pause. A `conflict` in place of a stream evicts nobody.
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
  // Streams in a row that were online for a moment only, and that were evicted.
  let flaps = 0
  let evictions = 0

  const upTo = (ms: number) => ms * (0.5 + 0.5 * random())
  const doubled = (firstMs: number, times: number, longestMs: number) =>
    upTo(Math.min(longestMs, firstMs * 2 ** Math.min(times, 9)))

  function afterOnline(end: StreamEnd, onlineMs: number): number {
    tries = 0
    outageSinceMs = now()
    if (onlineMs >= STEADY_MS) flaps = 0
    if (onlineMs >= SETTLED_MS) evictions = 0
    return end.condition === 'conflict'
      ? doubled(FIRST_EVICTION_MS, evictions++, LONGEST_EVICTED_MS)
      : doubled(200, flaps++, LONGEST_MS)
  }

  return {
    next(end, onlineMs) {
      if (onlineMs !== undefined) return afterOnline(end, onlineMs)
      // The time-out was a wait already.
      if (end.kind === 'timeout') return upTo(500)
      const isLong = now() - outageSinceMs >= LONG_OUTAGE_MS
      return doubled(500, tries++, isLong ? LONGEST_LATER_MS : LONGEST_MS)
    },
  }
}
