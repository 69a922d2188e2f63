const DURATION = /^(?:(\d+)y)?(?:(\d+)w)?(?:(\d+)d)?(?:(\d+)h)?(?:(\d+)m)?(?:(\d+)s)?(?:(\d+)ms)?$/
const UNITS_MS = [31_536_000_000, 604_800_000, 86_400_000, 3_600_000, 60_000, 1000, 1]

/**
 * Milliseconds of a duration as Prometheus writes them: `250ms`, `1m30s`, `1d`; a bare `0` too.
 * `undefined` for anything else, and for what no number holds exactly.
 *
 * @see https://prometheus.io/docs/prometheus/latest/configuration/configuration/ `<duration>`
 */
export function parseDuration(text: string): number | undefined {
  if (text === '0') return 0
  const match = DURATION.exec(text)
  if (text === '' || match === null) return undefined
  const ms = UNITS_MS.reduce((sum, unit, i) => sum + unit * Number(match[i + 1] ?? 0), 0)
  return Number.isSafeInteger(ms) ? ms : undefined
}
