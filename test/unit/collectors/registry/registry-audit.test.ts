import assert from 'node:assert/strict'
import { test } from 'node:test'
import { countMismatches } from '../../../../src/collectors/registry/registry-audit.js'
import { KEEP_ALL } from '../../../../src/collectors/registry/registry-filter.js'
import { createRegistryTables } from '../../../../src/collectors/registry/registry-lines.js'

const FAMILY = 'F\t1\tgauge\tload\t\t\t1\thost'
/**
 * Returns the lines that define a family and its series with these values. The first series has the id `first`. The
 * value `null` stands for a series that mod_adhoc_statistics omits because its labels are too long.
 */
const series = (values: readonly (number | null)[], first = 1) =>
  `${[FAMILY, ...values.map((value, i) => (value === null ? `X\t${first + i}\t1` : `S\t${first + i}\t1\t\th${first + i}\t${value}`))].join('\n')}\n`

/** Counts the mismatches between cached values and a full reply. Series in the changes `since` are not compared. */
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

test('an audit finds no mismatch if the full reply has the cached values', () => {
  assert.equal(count([1, 2, 3], { last: 3, lines: [series([1, 2, 3])] }, NOTHING), 0)
  assert.equal(count([1, null, 3], { last: 3, lines: [series([1, null, 3])] }, NOTHING), 0)
})

test('an audit counts each series whose value differs, including the first and the last series', () => {
  assert.equal(count([1, 2, 3], { last: 3, lines: [series([9, 2, 3])] }, NOTHING), 1)
  assert.equal(count([1, 2, 3], { last: 3, lines: [series([1, 2, 9])] }, NOTHING), 1)
  assert.equal(count([1, 2, 3], { last: 3, lines: [series([9, 8, 7])] }, NOTHING), 3)
  // A series is a mismatch if the full reply marks it as omitted, if the full reply lacks it, or if the cache lacks it.
  assert.equal(count([1, 2, 3], { last: 3, lines: [series([1, null, 3])] }, NOTHING), 1)
  assert.equal(count([1, 2, 3], { last: 3, lines: [series([1, 2])] }, NOTHING), 1)
  assert.equal(count([1, 2], { last: 3, lines: [series([1, 2, 3])] }, NOTHING), 1)
})

test('an audit does not compare series ids after the end of the full reply or of the reply with the changes', () => {
  assert.equal(count([1, 2, 3], { last: 2, lines: [series([1, 2])] }, NOTHING), 0)
  assert.equal(count([1, 2, 3], { last: 3, lines: [series([1, 2, 9])] }, { last: 2, lines: [] }), 0)
  // An audit of a page that starts at id 5 does not compare lower ids.
  assert.equal(count([5, 6], { last: 6, lines: [series([5, 6], 5)] }, NOTHING, 5), 0)
})

test('an audit does not compare a series that changed after the full reply, whatever its id and the kind of its line', () => {
  const values = Array.from({ length: 12 }, (_, i) => i)
  const full = { last: 12, lines: [series(values)] }
  // The last series got another value, or was defined again, after the full reply.
  assert.equal(count(values, full, { last: 12, lines: ['12\t99\n'] }), 0)
  assert.equal(count(values, full, { last: 12, lines: [`${FAMILY}\nX\t12\t1\n`] }), 0)
  assert.equal(count(values, full, { last: 12, lines: ['3\t7\n12\t99\n', '11\t8\n'] }), 0)
  // The audit does not mistake a value, a family number or a label in the changes for a series id. So it still finds
  // that the series with the id 5 differs.
  const off = { last: 12, lines: [series(values.with(4, 77))] }
  assert.equal(count(values, off, { last: 12, lines: ['1\t5\n'] }), 1)
  assert.equal(count(values, off, { last: 12, lines: [`${FAMILY}\nS\t1\t1\t\th5\t1\n`] }), 1)
})

test('an audit applies the drop rules of the cache to the full reply too', () => {
  const filter = { ...KEEP_ALL, drop: [{ family: /^load$/, labels: new Map([['host', /^h2$/]]) }] }
  const tables = createRegistryTables(filter)
  tables.apply(series([1, 2, 3]), 1, 3)
  tables.settle()
  const full = { last: 3, lines: [series([1, 9, 3])] }
  assert.equal(countMismatches(tables, 1, full, NOTHING, filter), 0)
  assert.equal(countMismatches(tables, 1, full, NOTHING, undefined), 1)
})
