import type { StreamEnd } from './stream-end.js'

const STEADY_MS = 10_000
// Reconnecting includes a dial, so it takes less than 5 s after the return of the server, or 10 s in a long outage.
const LONGEST_MS = 3000
const LONG_OUTAGE_MS = 600_000
const LONGEST_LATER_MS = 8000
const FIRST_EVICTION_MS = 3000
const LONGEST_EVICTED_MS = 60_000
const SETTLED_MS = 300_000

export type Backoff = {
  /**
   * Returns the time to wait before the next try, in milliseconds, with jitter.
   *
   * @param onlineMs How long the stream was online; undefined if it never was.
   */
  readonly next: (end: StreamEnd, onlineMs: number | undefined) => number
}

/**
 * Decides when to reconnect: almost immediately after a stream that was online, then at least every 3 s. In an outage
 * of more than ten minutes, at least every 8 s. The reason does not matter, because an operator can fix it at any time.
 *
 * The exception is a stream that the server ended for a newer one of the same component (`conflict`, with `kick_old`).
 * Then the pauses grow to a minute. Otherwise two exporters of one component would evict each other without a pause. A
 * `conflict` before the login evicts no other stream.
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
  // Consecutive streams that were online for a short time only.
  let flaps = 0
  // Consecutive streams that another one of the component evicted.
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
      // The exporter has already waited for the time-out.
      if (end.kind === 'timeout') return upTo(500)
      const isLong = now() - outageSinceMs >= LONG_OUTAGE_MS
      return doubled(500, tries++, isLong ? LONGEST_LATER_MS : LONGEST_MS)
    },
  }
}
