import assert from 'node:assert/strict'
import { test } from 'node:test'
import {
  createSeriesBudget,
  countOmittedSeries,
  EMPTY_BUDGET,
  type BudgetedTable,
} from '../../../../src/collectors/registry/registry-budget.js'
import { DecodeError } from '../../../../src/errors.js'
import { createTable } from '../../../../src/metrics/table.js'

const createBudgetedTable = (name: string, bounds: readonly number[] = []): BudgetedTable => ({
  ...EMPTY_BUDGET,
  table: createTable({
    ...{ name, type: bounds.length > 0 ? 'summary' : 'gauge', help: '', unit: '', bounds },
  }),
})
function add(
  budget: ReturnType<typeof createSeriesBudget>,
  family: BudgetedTable,
  rows: number,
  labels = '',
): void {
  for (let row = 0; row < rows; row++)
    if (budget.tryAddRow(family, labels)) family.table.append(`${row}`)
}
const omittedOf = (families: readonly BudgetedTable[]) =>
  Object.fromEntries(countOmittedSeries(families))

test('the cache can store twice the limit for exported series plus 100,000 series', () => {
  const budget = createSeriesBudget(1000)
  const [a, b, c] = [createBudgetedTable('a'), createBudgetedTable('b'), createBudgetedTable('c')]
  const all = [a, b, c]
  add(budget, a, 2000)
  add(budget, b, 99_998)
  add(budget, c, 2)
  budget.enforce(all)
  assert.deepEqual(omittedOf(all), {})
  add(budget, c, 1)
  budget.enforce(all)
  // One series too many makes the cache omit its largest family, b, with all stored series. Further series of b are
  // only counted.
  assert.deepEqual(omittedOf(all), { b: 99_998 })
  assert.equal(b.table.snapshot().length, 0)
  assert.equal(a.table.snapshot().length, 2000)
  add(budget, b, 2)
  assert.deepEqual(omittedOf(all), { b: 100_000 })
  assert.equal(b.table.snapshot().length, 0)
  // Other families can use the memory that the omitted family b used before.
  add(budget, c, 99_997)
  budget.enforce(all)
  assert.deepEqual(omittedOf(all), { b: 100_000 })
  add(budget, c, 1)
  budget.enforce(all)
  assert.deepEqual(omittedOf(all), { b: 100_000, c: 100_001 })
})

test('a series with long labels or many values, and a family with a long line, cost more memory', () => {
  /** Returns how many series of this kind the cache can store, rounded down to a thousand. */
  const capacityFor = (labels: string, bounds: readonly number[] = []) => {
    const budget = createSeriesBudget(0)
    const family = createBudgetedTable('x', bounds)
    for (;;) {
      add(budget, family, 1000, labels)
      budget.enforce([family])
      if (family.isOmitted) return family.rows - 1000
    }
  }
  assert.equal(capacityFor('x'.repeat(503)), 100_000)
  assert.equal(capacityFor('x'.repeat(504)), 50_000)
  assert.equal(capacityFor('x'.repeat(1016)), 33_000)
  const bounds = Array.from({ length: 62 }, (_, i) => i)
  assert.equal(capacityFor('', bounds), 50_000)
  assert.equal(capacityFor('', bounds.slice(1)), 100_000)

  for (const [length, most] of [
    [64, 20_000],
    [0, 25_000],
    [6400, 961],
  ] as const) {
    const budget = createSeriesBudget(0)
    for (let i = 0; i < most; i++) budget.addFamily(length)
    budget.enforce([])
    budget.addFamily(length)
    assert.throws(
      () => {
        budget.enforce([createBudgetedTable('x')])
      },
      (error) =>
        error instanceof DecodeError && /limits\.series .*, got 1 families/.test(error.message),
    )
  }
})

test('without a limit for exported series, the cache omits no family', () => {
  const budget = createSeriesBudget()
  const family = createBudgetedTable('x')
  for (let i = 0; i < 1000; i++) budget.addFamily(1e9)
  add(budget, family, 300_000)
  budget.enforce([family])
  assert.deepEqual(omittedOf([family]), {})
})

test('the omitted series of families with the same name are added up', () => {
  const budget = createSeriesBudget(0)
  const both = [createBudgetedTable('x'), createBudgetedTable('x'), createBudgetedTable('y')]
  add(budget, both[0]!, 150_000)
  add(budget, both[1]!, 120_000)
  add(budget, both[2]!, 10)
  budget.enforce(both)
  assert.deepEqual(omittedOf(both), { x: 270_000 })
})
