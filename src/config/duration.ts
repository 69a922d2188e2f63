const DURATION = /^(?:(\d+)y)?(?:(\d+)w)?(?:(\d+)d)?(?:(\d+)h)?(?:(\d+)m)?(?:(\d+)s)?(?:(\d+)ms)?$/
const UNITS_MS = [31_536_000_000, 604_800_000, 86_400_000, 3_600_000, 60_000, 1000, 1]

/**
 * Parses a duration in the format of Prometheus, for example `250ms`, `1m30s` or `1d`. A bare `0` is valid.
 *
 * @returns Milliseconds; `undefined` for a text that is not a duration, and for a duration of 2^53 ms or more.
 * @see https://prometheus.io/docs/prometheus/latest/configuration/configuration/ `<duration>`
 */
export function parseDuration(text: string): number | undefined {
  if (text === '0') return 0
  const match = DURATION.exec(text)
  if (text === '' || match === null) return undefined
  const ms = UNITS_MS.reduce((sum, unit, i) => sum + unit * Number(match[i + 1] ?? 0), 0)
  return Number.isSafeInteger(ms) ? ms : undefined
}

/** Formats milliseconds, for example `15s` or `250ms`. */
export function formatDuration(ms: number): string {
  return ms % 1000 === 0 ? `${ms / 1000}s` : `${ms}ms`
}
