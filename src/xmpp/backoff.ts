import type { StreamEnd } from './stream-end.js'

const FIRST_MINUTE_MS = 60_000
const STEADY_MS = 10_000
const LONGEST_MS = 3000
const LONGEST_REFUSED_MS = 30_000

export type Backoff = {
  /**
   * How long to wait before the next try, in milliseconds, jitter included.
   *
   * @param onlineMs How long the stream was online; absent when it never was.
   */
  readonly next: (end: StreamEnd, onlineMs: number | undefined) => number
}

/**
 * When to dial again: at once after a link that was online, then at most every 3 s.
 *
 * Only what the server keeps refusing (a wrong secret, an unknown domain, a conflict) is asked less
 * often, up to 30 s, and only after a minute: our own half-dead link answers `conflict` until
 * Prosody notices, and an operator who corrects the configuration should see it work.
 */
export function createBackoff({
  now,
  random,
}: {
  now: () => number
  random: () => number
}): Backoff {
  let tries = 0
  // Links in a row that were online for a moment only.
  let flaps = 0
  let refusal: { condition: string; sinceMs: number; tries: number } | undefined

  const upTo = (ms: number) => ms * (0.5 + 0.5 * random())

  return {
    next(end, onlineMs) {
      if (onlineMs !== undefined) {
        tries = 0
        refusal = undefined
        if (onlineMs >= STEADY_MS) flaps = 0
        // With `kick_old`, two exporters of one domain would throw each other out without a pause.
        if (end.condition === 'conflict') return upTo(LONGEST_MS)
        return upTo(Math.min(LONGEST_MS, 200 * 2 ** Math.min(flaps++, 9)))
      }
      if (end.kind !== 'refused') refusal = undefined
      else if (refusal?.condition !== end.condition) {
        refusal = { condition: end.condition, sinceMs: now(), tries: 0 }
      }
      if (refusal && now() - refusal.sinceMs >= FIRST_MINUTE_MS) {
        return upTo(Math.min(LONGEST_REFUSED_MS, LONGEST_MS * 2 ** Math.min(++refusal.tries, 9)))
      }
      // It was waited for already.
      if (end.kind === 'timeout') return upTo(500)
      return upTo(Math.min(LONGEST_MS, 500 * 2 ** Math.min(tries++, 9)))
    },
  }
}
