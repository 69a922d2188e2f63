const MAX_SHOWN = 80

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
