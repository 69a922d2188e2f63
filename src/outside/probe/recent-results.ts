/** Stores results for a short time, so that equal work is not done again. */
export type RecentResults = {
  /**
   * Returns a result for the key that is younger than `maxAgeMs`, or the result of `make`. All callers with the same key
   * must want the same type.
   *
   * @throws What `make` throws, which is not stored.
   */
  get<T>(key: string, nowMs: number, make: () => T): T
}

export function createRecentResults(options: {
  readonly maxAgeMs: number
  readonly maxCount: number
}): RecentResults {
  const { maxAgeMs, maxCount } = options
  // In the order of their age.
  const results = new Map<string, { readonly value: unknown; readonly atMs: number }>()
  return {
    get<T>(key: string, nowMs: number, make: () => T): T {
      const known = results.get(key)
      const ageMs = nowMs - (known?.atMs ?? -Infinity)
      // A clock can be set back.
      if (known && ageMs >= 0 && ageMs < maxAgeMs) return known.value as T
      const value = make()
      results.delete(key)
      results.set(key, { value, atMs: nowMs })
      const [oldest] = results.keys()
      if (results.size > maxCount && oldest !== undefined) results.delete(oldest)
      return value
    },
  }
}
