const MAX_QUOTED_LENGTH = 80
// Scrapers use few different filters. The limit keeps the cache small if a hostile client sends many.
const MAX_CACHED = 8

/** The part of a snapshot that a request selects. */
export type Filter = {
  /** The names of the selected metric families; `undefined` selects all families. */
  readonly names: ReadonlySet<string> | undefined
  /** The names of the selected collectors; `undefined` selects all collectors. */
  readonly collectors: ReadonlySet<string> | undefined
}

/**
 * Reads the query parameters `name[]`, `collect[]` and `exclude[]`, which work as in client_golang and
 * node_exporter.
 *
 * @param known The names of the enabled collectors.
 * @returns The filter, or a message of one line that says which parameter is wrong.
 */
export function readFilter(
  { names, collect, exclude }: Readonly<Record<string, readonly string[] | undefined>>,
  known: readonly string[],
): Filter | string {
  if (collect && exclude)
    return 'Wrong parameters: expected collect[] or exclude[], got both. Remove one of them.'
  const unknown = (collect ?? exclude)?.find((name) => !known.includes(name))
  if (unknown !== undefined) {
    const parameter = collect ? 'collect[]' : 'exclude[]'
    const expected = known.length > 0 ? known.join(', ') : 'none here (see /probe)'
    return `Wrong ${parameter}: expected ${expected}, got ${JSON.stringify(unknown.slice(0, MAX_QUOTED_LENGTH))}.`
  }
  const excluded = exclude && known.filter((name) => !exclude.includes(name))
  const collectors = collect ?? excluded
  return {
    names: names && new Set(names),
    collectors: collectors && new Set(collectors),
  }
}

/**
 * Wraps `filterSnapshot` in a cache. The cached results for a snapshot stay in memory as long as the snapshot.
 */
export function cacheFilterResults<Snapshot extends object, Filtered>(
  filterSnapshot: (snapshot: Snapshot, filter: Filter) => Filtered,
): (snapshot: Snapshot, filter: Filter) => Filtered {
  const cache = new WeakMap<Snapshot, Map<string, Filtered>>()
  return (snapshot, filter) => {
    const results = cache.get(snapshot) ?? new Map<string, Filtered>()
    const sorted = (names: ReadonlySet<string> | undefined) => names && [...names].sort()
    const key = JSON.stringify([sorted(filter.names) ?? 0, sorted(filter.collectors) ?? 0])
    const filtered = results.get(key) ?? filterSnapshot(snapshot, filter)
    if (results.size === MAX_CACHED) results.clear()
    cache.set(snapshot, results.set(key, filtered))
    return filtered
  }
}
