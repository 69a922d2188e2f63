/** What was counted up to some moment: of each figure its sum and its count. */
type Reading = { readonly atMs: number; readonly counted: Float64Array }

// Several Prometheus servers may ask shortly one after another: over the time between two of them
// next to nothing happens.
const MIN_WINDOW_MS = 10_000

/**
 * Rates and averages since an earlier reading, as Prosody 0.11 told them of its own intervals: since
 * the one before, or an earlier one if that is less than 10 seconds ago.
 */
export function createWindow() {
  // The last two readings that are 10 seconds apart, and of which one each figure is told since.
  let last: Reading | undefined
  let before: Reading | undefined
  let since: Reading | undefined
  let now: Reading | undefined

  return {
    /**
     * Takes a reading: what is asked next is of the time up to now.
     *
     * @param counted Sum and count of each figure, one after the other; NaN for one that is missing.
     */
    advance(atMs: number, counted: Float64Array): void {
      now = { atMs, counted }
      if (last && atMs - last.atMs < MIN_WINDOW_MS) since = before ?? last
      else [since, before, last] = [last, last, now]
    },

    /** NaN where it was not read before. A figure that is new since then has begun at zero. */
    valueOf(figure: number, kind: 'rate' | 'average'): number {
      if (!now || !since || now.atMs <= since.atMs) return NaN
      const [sum, count] = [now.counted[2 * figure]!, now.counted[2 * figure + 1]!]
      const [oldSum = 0, oldCount = 0] = since.counted.subarray(2 * figure, 2 * figure + 2)
      // What has fallen was set back to zero in between, as in Prometheus's rate().
      const isReset = sum < oldSum || count < oldCount
      const newSum = isReset ? sum : sum - oldSum
      const newCount = isReset ? count : count - oldCount
      if (kind === 'rate') return (newSum / (now.atMs - since.atMs)) * 1000
      // As in 0.11, with nothing to average.
      return newCount === 0 ? 0 : newSum / newCount
    },
  }
}
