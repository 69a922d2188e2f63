/** A line that `monitor.js` writes once a second. */
export type Measurement = {
  /** Delay of the event loop, in milliseconds. */
  readonly p50: number
  readonly p99: number
  readonly max: number
  /** Resident memory, in bytes. */
  readonly rss: number
  readonly timers: number
  readonly sockets: number
}

/**
 * Decides whether values measured at a constant interval grow in the second half of the measurement. A line is fitted
 * to the second half by least squares. The values are flat if the line rises by at most twice the standard deviation
 * of the values from the line, or by at most 5 % of the mean.
 */
export function judgeTrend(all: readonly number[]): { isFlat: boolean; text: string } {
  const values = all.slice(all.length >> 1)
  const n = values.length
  const mean = values.reduce((sum, value) => sum + value, 0) / n
  const middle = (n - 1) / 2
  const sxy = values.reduce((sum, value, i) => sum + (i - middle) * (value - mean), 0)
  const sxx = values.reduce((sum, _, i) => sum + (i - middle) ** 2, 0)
  const slope = sxy / sxx
  const residuals = values.map((value, i) => value - mean - slope * (i - middle))
  const noise = Math.sqrt(residuals.reduce((sum, each) => sum + each ** 2, 0) / n)
  const rise = slope * (n - 1)
  const short = (value: number) =>
    Math.abs(value) >= 1e5 ? `${(value / 1e6).toFixed(1)} M` : value.toFixed(1)
  return {
    isFlat: rise <= 2 * noise || rise <= 0.05 * mean,
    text: `mean ${short(mean)}, rise over the last half ${short(rise)}, noise ±${short(noise)}`,
  }
}
