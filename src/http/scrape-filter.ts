const MAX_SHOWN = 80
// Of filters a few are in use; a hostile reader may send as many as it likes.
const MAX_REMEMBERED = 8

/** What of a snapshot was asked for; `undefined`: all. */
export type Filter = {
  /** Names of families. */
  readonly names: ReadonlySet<string> | undefined
  readonly collectors: ReadonlySet<string> | undefined
}

/**
 * `name[]`, `collect[]` and `exclude[]` as client_golang and node_exporter have them.
 *
 * @param known Collectors that are asked.
 * @returns What is wrong, as a line, or the filter.
 */
export function readFilter(
  { names, collect, exclude }: Readonly<Record<string, readonly string[] | undefined>>,
  known: readonly string[],
): Filter | string {
  if (collect && exclude) return 'Wrong parameters: expected collect[] or exclude[], got both.'
  const unknown = (collect ?? exclude)?.find((name) => !known.includes(name))
  if (unknown !== undefined) {
    const parameter = collect ? 'collect[]' : 'exclude[]'
    const expected = known.length > 0 ? known.join(', ') : 'none here (see /probe)'
    return `Wrong ${parameter}: expected ${expected}, got ${JSON.stringify(unknown.slice(0, MAX_SHOWN))}.`
  }
  const excluded = exclude && known.filter((name) => !exclude.includes(name))
  const collectors = collect ?? excluded
  return {
    names: names && new Set(names),
    collectors: collectors && new Set(collectors),
  }
}

/** What the function makes of a snapshot and a filter, made once for as long as the snapshot lives. */
export function filteredOnce<Snapshot extends object, Filtered>(
  make: (snapshot: Snapshot, filter: Filter) => Filtered,
): (snapshot: Snapshot, filter: Filter) => Filtered {
  const made = new WeakMap<Snapshot, Map<string, Filtered>>()
  return (snapshot, filter) => {
    const ofSnapshot = made.get(snapshot) ?? new Map<string, Filtered>()
    const sorted = (names: ReadonlySet<string> | undefined) => names && [...names].sort()
    const key = JSON.stringify([sorted(filter.names) ?? 0, sorted(filter.collectors) ?? 0])
    const filtered = ofSnapshot.get(key) ?? make(snapshot, filter)
    if (ofSnapshot.size === MAX_REMEMBERED) ofSnapshot.clear()
    made.set(snapshot, ofSnapshot.set(key, filtered))
    return filtered
  }
}
