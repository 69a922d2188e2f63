const MAX_QUOTED_LENGTH = 80
// Scrapers use few different filters. A hostile client can send any number.
const MAX_CACHED = 8

/** The requested part of a snapshot; `undefined` requests all. */
export type Filter = {
  /** Names of metric families. */
  readonly names: ReadonlySet<string> | undefined
  readonly collectors: ReadonlySet<string> | undefined
}

/**
 * Reads the parameters `name[]`, `collect[]` and `exclude[]`, which work as in client_golang and node_exporter.
 *
 * @param known Names of the collectors that are on.
 * @returns The filter, or one line that says which parameter is wrong.
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

/** Wraps `filterSnapshot` in a cache, which holds the results of a snapshot until the snapshot is garbage. */
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
