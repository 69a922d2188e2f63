/** The totals at one moment. Index `2 * i` of `values` is the sum of series `i`, and the next index is its count. */
type Totals = { readonly atMs: number; readonly values: Float64Array }

// The shortest window for a rate, except shortly after the first collection. Several Prometheus servers may scrape
// shortly after each other, and the time between two such scrapes is too short for a rate.
const MIN_WINDOW_MS = 10_000

/**
 * Calculates rates and averages for a window of time, as Prosody 0.11 did for its statistics interval. The window
 * ends at the latest collection. It starts at the previous collection, or at an earlier one if the previous
 * collection is less than 10 seconds older than the latest one.
 */
export function createWindow() {
  // The totals of two collections that are at least 10 seconds apart. One of them becomes the start of the next window.
  let last: Totals | undefined
  let secondLast: Totals | undefined
  // The totals at the start and at the end of the window.
  let start: Totals | undefined
  let end: Totals | undefined

  return {
    /**
     * Ends the window at the time `atMs`, and chooses its start.
     *
     * @param values For each series its sum and then its count. Both are NaN for a series without a value.
     */
    advance(atMs: number, values: Float64Array): void {
      end = { atMs, values }
      if (last && atMs - last.atMs < MIN_WINDOW_MS) start = secondLast ?? last
      else [start, secondLast, last] = [last, last, end]
    },

    /**
     * Returns the rate per second or the average of a series in the window, or NaN in the first collection. A series
     * that did not exist at the start of the window counts as 0 there.
     */
    valueOf(series: number, kind: 'rate' | 'average'): number {
      if (!end || !start || end.atMs <= start.atMs) return NaN
      const [sum, count] = [end.values[2 * series]!, end.values[2 * series + 1]!]
      const [oldSum = 0, oldCount = 0] = start.values.subarray(2 * series, 2 * series + 2)
      // A total that is lower than at the start of the window was reset to 0 in between. Prometheus's rate() treats it
      // the same way.
      const isReset = sum < oldSum || count < oldCount
      const newSum = isReset ? sum : sum - oldSum
      const newCount = isReset ? count : count - oldCount
      if (kind === 'rate') return (newSum / (end.atMs - start.atMs)) * 1000
      // The average is 0 if there was no event, as in Prosody 0.11.
      return newCount === 0 ? 0 : newSum / newCount
    },
  }
}
