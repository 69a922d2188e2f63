const ZERO = 0x30
// The two ASCII digits of each number from `00` to `99`. Writing two digits at a time needs half as many
// divisions.
const DIGIT_PAIRS = Uint16Array.from(
  { length: 100 },
  (_, i) => ((ZERO + Math.floor(i / 10)) << 8) | (ZERO + (i % 10)),
)

/**
 * Formats the value of a sample in the shortest form that a parser reads as the same number: `1`, `0.1`,
 * `1e-7`, `NaN`, `+Inf`, `-Inf`, `-0`. An integer has no decimal point.
 *
 * @see Prometheus text format 0.0.4, whose values are those of Go's ParseFloat; OpenMetrics 1.0.0 ABNF,
 *   `number`
 */
export function formatValue(value: number): string {
  if (value === Infinity) return '+Inf'
  if (value === -Infinity) return '-Inf'
  return Object.is(value, -0) ? '-0' : String(value)
}

/**
 * Formats the value of a label `le` or `quantile`, for example `1.0`, `0.005`, `100000.0`, `1e+06`, `1e-05`,
 * `+Inf`. Both text formats use this function, because `le="1"` and `le="1.0"` are two series in Prometheus 2.
 *
 * @see OpenMetrics 1.0.0, "Considerations: Canonical Numbers": the result of Go's `%g`, with `.0` after an
 *   integer
 */
export function formatBound(value: number): string {
  if (value === 0) return '0.0'
  if (!Number.isFinite(value)) return formatValue(value)
  // Go's %g writes an exponent of at least two digits for numbers below 1e-4 and from 1e6 on. JavaScript writes
  // an exponent only for numbers below 1e-6 and from 1e21 on. Both choose the same digits for the mantissa.
  const [mantissa, exponent] = value.toExponential().split('e') as [string, string]
  const power = Number(exponent)
  if (power < -4 || power >= 6) {
    return `${mantissa}e${power < 0 ? '-' : '+'}${String(Math.abs(power)).padStart(2, '0')}`
  }
  const plain = String(value)
  return plain.includes('.') ? plain : `${plain}.0`
}

/**
 * Writes the text of `formatValue` at the position `at`, and returns the position after the text. For an
 * integer between 0 and 2³¹, no string is created.
 */
export function putValue(target: DataView, at: number, value: number): number {
  if ((value | 0) === value && value > 0) return putInteger(target, at, value)
  const text = formatValue(value)
  for (let i = 0; i < text.length; i++) target.setUint8(at + i, text.charCodeAt(i))
  return at + text.length
}

function putInteger(target: DataView, start: number, integer: number): number {
  const end = start + countDigits(integer)
  let at = end
  let rest = integer
  while (rest >= 10) {
    const quotient = (rest / 100) | 0
    at -= 2
    target.setUint16(at, DIGIT_PAIRS[rest - quotient * 100]!)
    rest = quotient
  }
  if (at > start) target.setUint8(start, ZERO + rest)
  return end
}

function countDigits(integer: number): number {
  let count = 1
  for (let limit = 10; integer >= limit; limit *= 10) count++
  return count
}
