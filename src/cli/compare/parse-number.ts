const DECIMAL = /^[+-]?(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d+)?$/

// `-nan` is C's, as mod_http_openmetrics writes it.
const NOT_FINITE: ReadonlyMap<string, number> = new Map([
  ...['inf', '+inf', 'infinity', '+infinity'].map((text) => [text, Infinity] as const),
  ...['-inf', '-infinity'].map((text) => [text, -Infinity] as const),
  ...['nan', '-nan'].map((text) => [text, NaN] as const),
])
const LONGEST = '+infinity'.length

/**
 * A number as Prometheus reads it: as Go's ParseFloat, but neither hexadecimal nor with underscores.
 * `undefined` for anything else, and for what no double can hold.
 */
export function parseNumber(text: string): number | undefined {
  if (!DECIMAL.test(text)) {
    return text.length > LONGEST ? undefined : NOT_FINITE.get(text.toLowerCase())
  }
  const value = Number(text)
  return Number.isFinite(value) ? value : undefined
}
