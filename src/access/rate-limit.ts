/**
 * Creates a token bucket for requests. The bucket starts with `burst` tokens, which is also its maximum, and
 * gets one token every `intervalMs`. An interval of 0 means no limit.
 *
 * @returns A function that takes a token and returns true, or returns false if the bucket is empty.
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
