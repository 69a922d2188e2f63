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
