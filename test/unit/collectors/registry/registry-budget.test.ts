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

const keeping = (name: string, bounds: readonly number[] = []): BudgetedTable => ({
  ...EMPTY_BUDGET,
  table: createTable({
    ...{ name, type: bounds.length > 0 ? 'summary' : 'gauge', help: '', unit: '', bounds },
  }),
})
function add(
  room: ReturnType<typeof createSeriesBudget>,
  family: BudgetedTable,
  rows: number,
  labels = '',
): void {
  for (let row = 0; row < rows; row++)
    if (room.tryAddRow(family, labels)) family.table.append(`${row}`)
}
const names = (families: readonly BudgetedTable[]) =>
  Object.fromEntries(countOmittedSeries(families))

test('there is room for twice as many as are served, and for a hundred thousand besides', () => {
  const room = createSeriesBudget(1000)
  const [a, b, c] = [keeping('a'), keeping('b'), keeping('c')]
  const all = [a, b, c]
  add(room, a, 2000)
  add(room, b, 99_998)
  add(room, c, 2)
  room.enforce(all)
  assert.deepEqual(names(all), {})
  add(room, c, 1)
  room.enforce(all)
  // The largest goes, with all that was kept of it, and what comes of it is counted.
  assert.deepEqual(names(all), { b: 99_998 })
  assert.equal(b.table.snapshot().length, 0)
  assert.equal(a.table.snapshot().length, 2000)
  add(room, b, 2)
  assert.deepEqual(names(all), { b: 100_000 })
  assert.equal(b.table.snapshot().length, 0)
  // What it took is free again.
  add(room, c, 99_997)
  room.enforce(all)
  assert.deepEqual(names(all), { b: 100_000 })
  add(room, c, 1)
  room.enforce(all)
  assert.deepEqual(names(all), { b: 100_000, c: 100_001 })
})

test('long labels and many values take more room, and so do families', () => {
  /** How many are kept before there is no room. */
  const kept = (labels: string, bounds: readonly number[] = []) => {
    const room = createSeriesBudget(0)
    const family = keeping('x', bounds)
    for (;;) {
      add(room, family, 1000, labels)
      room.enforce([family])
      if (family.isOmitted) return family.rows - 1000
    }
  }
  assert.equal(kept('x'.repeat(503)), 100_000)
  assert.equal(kept('x'.repeat(504)), 50_000)
  assert.equal(kept('x'.repeat(1016)), 33_000)
  const bounds = Array.from({ length: 62 }, (_, i) => i)
  assert.equal(kept('', bounds), 50_000)
  assert.equal(kept('', bounds.slice(1)), 100_000)

  for (const [length, most] of [
    [64, 20_000],
    [0, 25_000],
    [6400, 961],
  ] as const) {
    const room = createSeriesBudget(0)
    for (let i = 0; i < most; i++) room.addFamily(length)
    room.enforce([])
    room.addFamily(length)
    assert.throws(
      () => {
        room.enforce([keeping('x')])
      },
      (error) =>
        error instanceof DecodeError && /limits\.series .*, got 1 families/.test(error.message),
    )
  }
})

test('without a limit there is room for anything', () => {
  const room = createSeriesBudget()
  const family = keeping('x')
  for (let i = 0; i < 1000; i++) room.addFamily(1e9)
  add(room, family, 300_000)
  room.enforce([family])
  assert.deepEqual(names([family]), {})
})

test('of two families of one name the series that there was no room for are added up', () => {
  const room = createSeriesBudget(0)
  const both = [keeping('x'), keeping('x'), keeping('y')]
  add(room, both[0]!, 150_000)
  add(room, both[1]!, 120_000)
  add(room, both[2]!, 10)
  room.enforce(both)
  assert.deepEqual(names(both), { x: 270_000 })
})
