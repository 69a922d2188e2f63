/** Totals at one moment: sum and count of each series, one after the other; NaN if it is missing. */
type Totals = { readonly atMs: number; readonly values: Float64Array }

// Several Prometheus servers may scrape shortly after each other. The time between two such scrapes
// is too short for a rate.
const MIN_WINDOW_MS = 10_000

/**
 * Calculates rates and averages since an earlier collection, as Prosody 0.11 did for its own intervals.
 * The window starts at the previous collection, or at an earlier one if that is less than 10 seconds ago.
 */
export function createWindow() {
  // The last two collections that are at least 10 seconds apart.
  let last: Totals | undefined
  let secondLast: Totals | undefined
  // The window.
  let start: Totals | undefined
  let end: Totals | undefined

  return {
    /**
     * Ends the window now, and chooses its start.
     *
     * @param values Sum and count of each series, one after the other; NaN if it is missing.
     */
    advance(atMs: number, values: Float64Array): void {
      end = { atMs, values }
      if (last && atMs - last.atMs < MIN_WINDOW_MS) start = secondLast ?? last
      else [start, secondLast, last] = [last, last, end]
    },

    /** Returns NaN in the first collection. A series that is new since the start of the window started at 0. */
    valueOf(series: number, kind: 'rate' | 'average'): number {
      if (!end || !start || end.atMs <= start.atMs) return NaN
      const [sum, count] = [end.values[2 * series]!, end.values[2 * series + 1]!]
      const [oldSum = 0, oldCount = 0] = start.values.subarray(2 * series, 2 * series + 2)
      // A total that fell was reset to 0 in the meantime, as in Prometheus's rate().
      const isReset = sum < oldSum || count < oldCount
      const newSum = isReset ? sum : sum - oldSum
      const newCount = isReset ? count : count - oldCount
      if (kind === 'rate') return (newSum / (end.atMs - start.atMs)) * 1000
      // 0.11 reported 0 as the average of no events.
      return newCount === 0 ? 0 : newSum / newCount
    },
  }
}
