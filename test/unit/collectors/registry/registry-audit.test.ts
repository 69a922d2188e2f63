import assert from 'node:assert/strict'
import { test } from 'node:test'
import { countMismatches } from '../../../../src/collectors/registry/registry-audit.js'
import { KEEP_ALL } from '../../../../src/collectors/registry/registry-filter.js'
import { createRegistryTables } from '../../../../src/collectors/registry/registry-lines.js'

const FAMILY = 'F\t1\tgauge\tload\t\t\t1\thost'
/** Series of one family, from the given id on, with these values; `null` for one left out. */
const series = (values: readonly (number | null)[], first = 1) =>
  `${[FAMILY, ...values.map((value, i) => (value === null ? `X\t${first + i}\t1` : `S\t${first + i}\t1\t\th${first + i}\t${value}`))].join('\n')}\n`

/** How many differ: of what is kept, then what a full reading tells, then what moved meanwhile. */
function count(
  kept: readonly (number | null)[],
  full: { last: number; lines: readonly string[] },
  since: { last: number; lines: readonly string[] },
  first = 1,
): number {
  const tables = createRegistryTables()
  tables.apply(series(kept, first), first, 1000)
  for (const lines of since.lines) tables.apply(lines, first, 1000)
  tables.settle()
  return countMismatches(tables, first, full, since, undefined)
}
const NOTHING = { last: 1000, lines: [] }

test('a reading that tells what is kept differs in nothing', () => {
  assert.equal(count([1, 2, 3], { last: 3, lines: [series([1, 2, 3])] }, NOTHING), 0)
  assert.equal(count([1, null, 3], { last: 3, lines: [series([1, null, 3])] }, NOTHING), 0)
})

test('each id that differs counts, the first and the last one too', () => {
  assert.equal(count([1, 2, 3], { last: 3, lines: [series([9, 2, 3])] }, NOTHING), 1)
  assert.equal(count([1, 2, 3], { last: 3, lines: [series([1, 2, 9])] }, NOTHING), 1)
  assert.equal(count([1, 2, 3], { last: 3, lines: [series([9, 8, 7])] }, NOTHING), 3)
  // Left out where it was shown, or not told at all.
  assert.equal(count([1, 2, 3], { last: 3, lines: [series([1, null, 3])] }, NOTHING), 1)
  assert.equal(count([1, 2, 3], { last: 3, lines: [series([1, 2])] }, NOTHING), 1)
  assert.equal(count([1, 2], { last: 3, lines: [series([1, 2, 3])] }, NOTHING), 1)
})

test('what lies behind either answer is not compared', () => {
  assert.equal(count([1, 2, 3], { last: 2, lines: [series([1, 2])] }, NOTHING), 0)
  assert.equal(count([1, 2, 3], { last: 3, lines: [series([1, 2, 9])] }, { last: 2, lines: [] }), 0)
  // A page from the fifth id on speaks of nothing before it.
  assert.equal(count([5, 6], { last: 6, lines: [series([5, 6], 5)] }, NOTHING, 5), 0)
})

test('an id that moved meanwhile is not compared, however many digits it has and however it is told', () => {
  const values = Array.from({ length: 12 }, (_, i) => i)
  const full = { last: 12, lines: [series(values)] }
  // The last one moved after the full reading, or was told anew.
  assert.equal(count(values, full, { last: 12, lines: ['12\t99\n'] }), 0)
  assert.equal(count(values, full, { last: 12, lines: [`${FAMILY}\nX\t12\t1\n`] }), 0)
  assert.equal(count(values, full, { last: 12, lines: ['3\t7\n12\t99\n', '11\t8\n'] }), 0)
  // Numbers within a line are no ids.
  const off = { last: 12, lines: [series(values.with(4, 77))] }
  assert.equal(count(values, off, { last: 12, lines: ['1\t5\n'] }), 1)
  assert.equal(count(values, off, { last: 12, lines: [`${FAMILY}\nS\t1\t1\t\th5\t1\n`] }), 1)
})

test('the full reading is read with the same filter', () => {
  const filter = { ...KEEP_ALL, drop: [{ family: /^load$/, labels: new Map([['host', /^h2$/]]) }] }
  const tables = createRegistryTables(filter)
  tables.apply(series([1, 2, 3]), 1, 3)
  tables.settle()
  const full = { last: 3, lines: [series([1, 9, 3])] }
  assert.equal(countMismatches(tables, 1, full, NOTHING, filter), 0)
  assert.equal(countMismatches(tables, 1, full, NOTHING, undefined), 1)
})
