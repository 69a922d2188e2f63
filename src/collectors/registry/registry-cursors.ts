/**
 * The change number up to which each id was read. `since` holds for the ids after the previous entry's
 * `last`, up to its own `last`. Entries are in ascending order. The last entry has `last: Infinity`,
 * and so includes new ids.
 *
 * @see prosody-modules/mod_adhoc_statistics/README.md, "Model"
 */
export type Cursors = readonly Cursor[]
type Cursor = { readonly last: number; readonly since: number }

/** The cursors of a reader that has read nothing. */
export const INITIAL_CURSORS: Cursors = [{ last: Infinity, since: 0 }]

// Limits the size of a request. The first run over a million series results in some 2,000 cursors.
const MAX_CURSORS = 200

/** Returns the attribute `since` of a request that starts at the id `first`: `41:700 42:1900 43`. */
export function formatSince(cursors: Cursors, first: number): string {
  return cursors
    .filter(({ last }) => last >= first)
    .slice(0, MAX_CURSORS)
    .map(({ last, since }) => (last === Infinity ? `${since}` : `${since}:${last}`))
    .join(' ')
}

/** Returns the cursors after an answer with the change number `change` for the ids `first … last`. */
export function advanceCursors(
  cursors: Cursors,
  { first, last, change }: { first: number; last: number; change: number },
): Cursors {
  const advanced: Cursor[] = []
  const add = (cursor: Cursor) => {
    if (advanced.at(-1)?.since === cursor.since) advanced.pop()
    advanced.push(cursor)
  }
  let start = 1
  for (const { last: end, since } of cursors) {
    if (start < first) add({ last: Math.min(end, first - 1), since })
    start = end + 1
  }
  add({ last, since: change })
  for (const cursor of cursors) if (cursor.last > last) add(cursor)
  return advanced
}
