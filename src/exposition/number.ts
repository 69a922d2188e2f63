const ZERO = 0x30
// `00` to `99`: two digits at a time need half the divisions.
const DIGIT_PAIRS = Uint16Array.from(
  { length: 100 },
  (_, i) => ((ZERO + Math.floor(i / 10)) << 8) | (ZERO + (i % 10)),
)

/**
 * Formats a value in the shortest form that reads back as the same number: `1`, `0.1`, `1e-7`, `NaN`,
 * `+Inf`, `-Inf`, `-0`; an integer has no point. The value of `_created` too, so that it loses nothing.
 *
 * @see Prometheus text format 0.0.4: values as Go's ParseFloat reads them; OpenMetrics 1.0.0 ABNF, `number`
 */
export function formatValue(value: number): string {
  if (value === Infinity) return '+Inf'
  if (value === -Infinity) return '-Inf'
  return Object.is(value, -0) ? '-0' : String(value)
}

/**
 * Formats an `le` or `quantile`: `1.0`, `0.005`, `100000.0`, `1e+06`, `1e-05`, `+Inf`. It is the same
 * in every format: for Prometheus 2 `le="1"` and `le="1.0"` are two series.
 *
 * @see OpenMetrics 1.0.0, Numbers, "Considerations: Canonical Numbers": Go's `%g`, then `.0`
 */
export function formatBound(value: number): string {
  if (value === 0) return '0.0'
  if (!Number.isFinite(value)) return formatValue(value)
  // Go's %g has an exponent of two digits below 1e-4 and from 1e6 on, where JavaScript has none
  // before 1e-7 and 1e21. Both take the same shortest digits.
  const [mantissa, exponent] = value.toExponential().split('e') as [string, string]
  const power = Number(exponent)
  if (power < -4 || power >= 6) {
    return `${mantissa}e${power < 0 ? '-' : '+'}${String(Math.abs(power)).padStart(2, '0')}`
  }
  const plain = String(value)
  return plain.includes('.') ? plain : `${plain}.0`
}

/** Writes what `formatValue` returns and returns where it ends. An integer from 1 to 2³¹ needs no string. */
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
