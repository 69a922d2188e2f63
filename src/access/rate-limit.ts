/**
 * A token bucket that is full at first: one more request each interval, `burst` at once.
 *
 * @returns Whether a request may pass, which takes a token.
 */
export function createRateLimit(
  { intervalMs, burst }: { readonly intervalMs: number; readonly burst: number },
  now: () => number = () => performance.now(),
): () => boolean {
  let tokens = burst
  let at = now()
  return () => {
    if (intervalMs === 0) return true
    const time = now()
    tokens = Math.min(burst, tokens + (time - at) / intervalMs)
    at = time
    if (tokens < 1) return false
    tokens--
    return true
  }
}
