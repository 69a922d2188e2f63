/**
 * Parses a YAML integer like Go's yaml.v2, for example `10`, `0x10`, `0b1`, `010` (octal) or `1_000`. A
 * fraction is truncated, so `1.5` becomes 1.
 *
 * @returns `undefined` if the text is no number, or the number does not fit in 64 bits.
 */
export function parseGoInteger(text: string): number | undefined {
  if (!/^[-+.\d]/.test(text)) return undefined
  const [, sign, digits = ''] = /^([-+]?)(.*)$/.exec(text.replaceAll('_', '')) ?? []
  const octal = /^0([0-7]+)$/.exec(digits)
  const isPrefixed = /^0(?:[xX][\da-fA-F]+|[oO][0-7]+|[bB][01]+)$/.test(digits)
  const isDecimal = /^(?:\.\d+|\d+(?:\.\d*)?)(?:[eE][-+]?\d+)?$/.test(digits)
  if (!isPrefixed && !isDecimal) return undefined
  const number = Math.trunc(octal ? Number.parseInt(octal[1]!, 8) : Number(digits))
  if (number > 2 ** 63) return undefined
  return sign === '-' ? -number : number
}

const UNITS_MS: Readonly<Record<string, number>> = {
  ns: 1e-6,
  us: 1e-3,
  '\u00b5s': 1e-3, // micro sign
  '\u03bcs': 1e-3, // Greek mu
  ms: 1,
  s: 1000,
  m: 60_000,
  h: 3_600_000,
}
const PART = /(\d+\.?\d*|\.\d+)(ns|us|\u00b5s|\u03bcs|ms|s|m|h)/y
// Go stores a duration as nanoseconds in 64 bits.
const MAX_MS = 2 ** 63 / 1e6

/**
 * Parses a duration like Go, for example `1.5s`, `100us`, `1h30m`, `-1s` or `0`.
 *
 * @returns The duration in milliseconds; `undefined` if the text is not a valid duration.
 * @see https://pkg.go.dev/time#ParseDuration
 */
export function parseGoDuration(text: string): number | undefined {
  const [, sign, parts = ''] = /^([-+]?)(.*)$/s.exec(text) ?? []
  if (parts === '0') return 0
  let ms = 0
  PART.lastIndex = 0
  while (PART.lastIndex < parts.length) {
    const match = PART.exec(parts)
    if (match === null) return undefined
    ms += Number(match[1]) * UNITS_MS[match[2]!]!
  }
  if (parts === '' || ms > MAX_MS) return undefined
  return sign === '-' ? -ms : ms
}
