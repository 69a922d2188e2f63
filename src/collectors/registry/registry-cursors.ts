/**
 * Up to which change each id was read: change number `since` holds for the ids from the last entry's
 * end to `last`. Ascending; the last entry has `last: Infinity`, and takes in what is new.
 *
 * @see prosody-modules/mod_adhoc_statistics/README.md, "Model"
 */
export type Cursors = readonly Cursor[]
type Cursor = { readonly last: number; readonly since: number }

/** Nothing was read. */
export const FROM_NOTHING: Cursors = [{ last: Infinity, since: 0 }]

// A request is to stay small. A first reading of a million series leaves some 2,000.
const MOST = 200

/** The field `since` of a request that begins at the id `first`: `41:700 42:1900 43`. */
export function sinceField(cursors: Cursors, first: number): string {
  return cursors
    .filter(({ last }) => last >= first)
    .slice(0, MOST)
    .map(({ last, since }) => (last === Infinity ? `${since}` : `${since}:${last}`))
    .join(' ')
}

/** The same after an answer with the change number `change` about the ids `first … last`. */
export function withAnswer(
  cursors: Cursors,
  { first, last, change }: { first: number; last: number; change: number },
): Cursors {
  const after: Cursor[] = []
  const add = (cursor: Cursor) => {
    if (after.at(-1)?.since === cursor.since) after.pop()
    after.push(cursor)
  }
  let start = 1
  for (const { last: end, since } of cursors) {
    if (start < first) add({ last: Math.min(end, first - 1), since })
    start = end + 1
  }
  add({ last, since: change })
  for (const cursor of cursors) if (cursor.last > last) add(cursor)
  return after
}
