const DECIMAL = /^[+-]?(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d+)?$/

// `-nan` is how C's printf, and therefore mod_http_openmetrics, can write NaN.
const NOT_FINITE: ReadonlyMap<string, number> = new Map([
  ...['inf', '+inf', 'infinity', '+infinity'].map((text) => [text, Infinity] as const),
  ...['-inf', '-infinity'].map((text) => [text, -Infinity] as const),
  ...['nan', '-nan'].map((text) => [text, NaN] as const),
])
const MAX_NAME_LENGTH = '+infinity'.length

/**
 * Parses a number like Prometheus: with Go's ParseFloat, but without hexadecimal numbers and underscores.
 *
 * @returns `undefined` for a text that is not a number, and for a number beyond the range of a double.
 */
export function parseNumber(text: string): number | undefined {
  if (!DECIMAL.test(text)) {
    return text.length > MAX_NAME_LENGTH ? undefined : NOT_FINITE.get(text.toLowerCase())
  }
  const value = Number(text)
  return Number.isFinite(value) ? value : undefined
}
