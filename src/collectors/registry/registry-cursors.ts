/**
 * The change number up to which the exporter has read each series. A cursor describes a range of series ids: it
 * starts after the `last` of the previous cursor and ends at its own `last`. The exporter has all changes up to the
 * change number `since` for these ids. Cursors are in ascending order of their ids. The last cursor has `last:
 * Infinity`, so that it includes ids of future series.
 *
 * @see prosody-modules/mod_adhoc_statistics/README.md, "Model"
 */
export type Cursors = readonly Cursor[]
type Cursor = { readonly last: number; readonly since: number }

/** The cursors of a reader that has not read any series yet. */
export const INITIAL_CURSORS: Cursors = [{ last: Infinity, since: 0 }]

// The maximum number of cursors in a request. Without this limit, a request could become too long for
// mod_adhoc_statistics: the first update of a million series results in about 2,000 cursors.
const MAX_CURSORS = 200

/** Returns the attribute `since` of a request that starts at the id `first`, for example `41:700 42:1900 43`. */
export function formatSince(cursors: Cursors, first: number): string {
  return cursors
    .filter(({ last }) => last >= first)
    .slice(0, MAX_CURSORS)
    .map(({ last, since }) => (last === Infinity ? `${since}` : `${since}:${last}`))
    .join(' ')
}

/**
 * Returns the cursors that result from `cursors` and a reply with the change number `change` for the ids `first …
 * last`.
 */
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
