import type { Context } from 'hono'

// The default of scrape_timeout in Prometheus. It applies to requests without a valid timeout header.
export const DEFAULT_WAIT_MS = 10_000
const MAX_TIMEOUT_S = 600
export const TIMEOUT_HEADER = 'X-Prometheus-Scrape-Timeout-Seconds'

/**
 * Returns how many milliseconds the response to this request can take, see `readWaitMs`. Without a valid timeout
 * header, that is DEFAULT_WAIT_MS.
 */
export function getWaitMs(c: Context, offsetMs: number): number {
  return readWaitMs(c.req.header(TIMEOUT_HEADER), offsetMs) ?? DEFAULT_WAIT_MS
}

/**
 * Returns how many milliseconds a scrape can take: the timeout in the header of Prometheus minus the offset,
 * but at least half of the timeout. Returns `undefined` if the header is missing, or is not a number of seconds
 * above 0 and at most 600.
 */
export function readWaitMs(header: string | undefined, offsetMs: number): number | undefined {
  if (header === undefined || !/^\d{1,9}(?:\.\d{1,18})?$/.test(header)) return undefined
  const seconds = Number(header)
  if (seconds === 0 || seconds > MAX_TIMEOUT_S) return undefined
  return Math.max(seconds * 1000 - offsetMs, seconds * 500)
}
