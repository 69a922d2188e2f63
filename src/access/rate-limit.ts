/**
 * Creates a token bucket. It starts full with `burst` tokens, and gets one token each interval.
 *
 * @returns A function that takes a token and returns true, or returns false when no token is left.
 */
export function createRateLimit(
  { intervalMs, burst }: { readonly intervalMs: number; readonly burst: number },
  now: () => number = () => performance.now(),
): () => boolean {
  let tokens = burst
  let updatedAtMs = now()
  return () => {
    if (intervalMs === 0) return true
    const nowMs = now()
    tokens = Math.min(burst, tokens + (nowMs - updatedAtMs) / intervalMs)
    updatedAtMs = nowMs
    if (tokens < 1) return false
    tokens--
    return true
  }
}
