import assert from 'node:assert/strict'
import { test } from 'node:test'
import { countMismatches } from '../../../../src/collectors/registry/registry-audit.js'
import { KEEP_ALL } from '../../../../src/collectors/registry/registry-filter.js'
import { createRegistryTables } from '../../../../src/collectors/registry/registry-lines.js'

const FAMILY = 'F\t1\tgauge\tload\t\t\t1\thost'
/** Lines of one family's series with these values, from the id `first` on; `null` for an omitted series. */
const series = (values: readonly (number | null)[], first = 1) =>
  `${[FAMILY, ...values.map((value, i) => (value === null ? `X\t${first + i}\t1` : `S\t${first + i}\t1\t\th${first + i}\t${value}`))].join('\n')}\n`

/** Counts the mismatches between cached values, a full answer, and the changes in the meantime. */
function count(
  cached: readonly (number | null)[],
  full: { last: number; lines: readonly string[] },
  since: { last: number; lines: readonly string[] },
  first = 1,
): number {
  const tables = createRegistryTables()
  tables.apply(series(cached, first), first, 1000)
  for (const lines of since.lines) tables.apply(lines, first, 1000)
  tables.settle()
  return countMismatches(tables, first, full, since, undefined)
}
const NOTHING = { last: 1000, lines: [] }

test('a full answer with the cached values has no mismatch', () => {
  assert.equal(count([1, 2, 3], { last: 3, lines: [series([1, 2, 3])] }, NOTHING), 0)
  assert.equal(count([1, null, 3], { last: 3, lines: [series([1, null, 3])] }, NOTHING), 0)
})

test('each id that differs counts, including the first and the last one', () => {
  assert.equal(count([1, 2, 3], { last: 3, lines: [series([9, 2, 3])] }, NOTHING), 1)
  assert.equal(count([1, 2, 3], { last: 3, lines: [series([1, 2, 9])] }, NOTHING), 1)
  assert.equal(count([1, 2, 3], { last: 3, lines: [series([9, 8, 7])] }, NOTHING), 3)
  // The full answer omits a cached series, lacks it, or has one that the cache lacks.
  assert.equal(count([1, 2, 3], { last: 3, lines: [series([1, null, 3])] }, NOTHING), 1)
  assert.equal(count([1, 2, 3], { last: 3, lines: [series([1, 2])] }, NOTHING), 1)
  assert.equal(count([1, 2], { last: 3, lines: [series([1, 2, 3])] }, NOTHING), 1)
})

test('ids after the end of either answer are not compared', () => {
  assert.equal(count([1, 2, 3], { last: 2, lines: [series([1, 2])] }, NOTHING), 0)
  assert.equal(count([1, 2, 3], { last: 3, lines: [series([1, 2, 9])] }, { last: 2, lines: [] }), 0)
  // A page that starts at id 5 has no lower ids.
  assert.equal(count([5, 6], { last: 6, lines: [series([5, 6], 5)] }, NOTHING, 5), 0)
})

test('an id that changed in the meantime is not compared, with any number of digits and any kind of line', () => {
  const values = Array.from({ length: 12 }, (_, i) => i)
  const full = { last: 12, lines: [series(values)] }
  // The last series changed after the full answer, or was defined again.
  assert.equal(count(values, full, { last: 12, lines: ['12\t99\n'] }), 0)
  assert.equal(count(values, full, { last: 12, lines: [`${FAMILY}\nX\t12\t1\n`] }), 0)
  assert.equal(count(values, full, { last: 12, lines: ['3\t7\n12\t99\n', '11\t8\n'] }), 0)
  // Only the id field of a line is an id.
  const off = { last: 12, lines: [series(values.with(4, 77))] }
  assert.equal(count(values, off, { last: 12, lines: ['1\t5\n'] }), 1)
  assert.equal(count(values, off, { last: 12, lines: [`${FAMILY}\nS\t1\t1\t\th5\t1\n`] }), 1)
})

test('the full answer is read with the same filter', () => {
  const filter = { ...KEEP_ALL, drop: [{ family: /^load$/, labels: new Map([['host', /^h2$/]]) }] }
  const tables = createRegistryTables(filter)
  tables.apply(series([1, 2, 3]), 1, 3)
  tables.settle()
  const full = { last: 3, lines: [series([1, 9, 3])] }
  assert.equal(countMismatches(tables, 1, full, NOTHING, filter), 0)
  assert.equal(countMismatches(tables, 1, full, NOTHING, undefined), 1)
})
