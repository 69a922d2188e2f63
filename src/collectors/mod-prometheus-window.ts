/** What has been counted, and how often, up to some moment. */
type Reading = { readonly sum: number; readonly count: number }
type Counted = { readonly sum: number; readonly count: number; readonly isThere: boolean }

// Several Prometheus servers may ask shortly one after another: over the time between two of them
// next to nothing happens.
const MIN_WINDOW_MS = 10_000
const NOTHING: Reading = { sum: 0, count: 0 }

/**
 * Rates and averages since an earlier reading, as Prosody 0.11 told them of its own intervals: since
 * the one before, or an earlier one if that is less than 10 seconds ago.
 */
export function createWindow<Key extends Counted>() {
  // The last two readings that are 10 seconds apart, and of which one each figure is told since.
  let last: { readonly atMs: number; readonly of: ReadonlyMap<Key, Reading> } | undefined
  let before: typeof last
  let since: typeof last
  let lengthMs = 0

  return {
    /** Takes a reading: what is asked next is of the time up to now. */
    advance(atMs: number, all: Iterable<Key>): void {
      const isLong = last === undefined || atMs - last.atMs >= MIN_WINDOW_MS
      since = isLong ? last : (before ?? last)
      lengthMs = since ? atMs - since.atMs : 0
      if (!isLong) return
      before = last
      const of = new Map<Key, Reading>()
      for (const each of all) if (each.isThere) of.set(each, { sum: each.sum, count: each.count })
      last = { atMs, of }
    },

    /** NaN where there was no reading before. What is new since then has begun at zero. */
    valueOf(key: Key, kind: 'rate' | 'average'): number {
      if (!since || lengthMs <= 0) return NaN
      const known = since.of.get(key) ?? NOTHING
      // A figure that has fallen was set back to zero in between, as in Prometheus's rate().
      const isReset = key.sum < known.sum || key.count < known.count
      const { sum, count } = isReset ? NOTHING : known
      if (kind === 'rate') return ((key.sum - sum) / lengthMs) * 1000
      // As in 0.11, with nothing to average.
      return key.count > count ? (key.sum - sum) / (key.count - count) : 0
    },
  }
}
