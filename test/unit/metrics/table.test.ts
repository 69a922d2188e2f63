import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import type { Family } from '../../../src/metrics/family.js'
import { createTable } from '../../../src/metrics/table.js'

const META = { name: 'test', type: 'gauge', help: '', unit: '', bounds: [] } as const

/** Returns the label text and the first value of each exposed row, in the order of exposition. */
function rows(family: Family): [string, number][] {
  const { bytes, ends } = family.labels
  return Array.from(family.order, (row) => [
    Buffer.from(bytes.subarray(row === 0 ? 0 : ends[row - 1], ends[row])).toString(),
    family.values[row]!,
  ])
}

test('a table exposes its rows sorted by label text, whatever the order in which they were added', () => {
  fc.assert(
    fc.property(fc.array(fc.array(fc.string())), (batches) => {
      const table = createTable(META)
      const first = new Map<string, number>()
      let row = 0
      for (const batch of batches) {
        for (const labels of batch) {
          assert.equal(table.append(labels), row)
          table.set(row, 0, row)
          if (!first.has(labels)) first.set(labels, row)
          row++
        }
        table.sortNewRows()
      }
      const expected = [...first].sort(([a], [b]) => Buffer.compare(Buffer.from(a), Buffer.from(b)))
      assert.deepEqual(rows(table.snapshot()), expected)
      assert.equal(table.countOmittedRows(), row - first.size)
    }),
  )
})

test('a snapshot of a table never changes', () => {
  const table = createTable(META)
  table.append('a="1"')
  table.set(0, 0, 1)
  const before = table.snapshot()
  table.set(0, 0, 2)
  for (let i = 0; i < 100; i++) table.append(`b="${i}"`)
  table.setCreated(0, 5)
  table.setMissing(0, true)
  table.snapshot()
  assert.deepEqual(rows(before), [['a="1"', 1]])
  assert.equal(before.created, undefined)
})

test('the snapshot of an unchanged table is the same object', () => {
  const table = createTable(META)
  table.append('a="1"')
  table.set(0, 0, 1)
  const before = table.snapshot()
  table.set(0, 0, 1)
  table.sortNewRows()
  assert.equal(table.snapshot(), before)
  table.set(0, 0, -0)
  assert.notEqual(table.snapshot(), before)
})

test('a snapshot omits a missing row, and includes the row when it is no longer missing', () => {
  const table = createTable(META)
  table.append('a="1"')
  table.append('a="2"')
  table.setMissing(0, true)
  assert.deepEqual(rows(table.snapshot()), [['a="2"', 0]])
  assert.equal(table.countOmittedRows(), 1)
  table.setMissing(0, false)
  assert.equal(table.snapshot().order.length, 2)
  assert.equal(table.countOmittedRows(), 0)
})

test('the description of a row has its labels, its creation time, and its values or the word missing', () => {
  const table = createTable({ ...META, type: 'summary', bounds: [0.5] })
  table.append('a="1"')
  table.append('a="2"')
  for (const [column, value] of [1, 2, 3].entries()) table.set(1, column, value)
  assert.equal(table.valuesPerRow, 3)
  assert.equal(table.describe(0), '{a="1"} NaN 0 0 0')
  assert.equal(table.describe(1), '{a="2"} NaN 1 2 3')
  table.setCreated(1, 17.5)
  assert.equal(table.describe(0), '{a="1"} NaN 0 0 0')
  assert.equal(table.describe(1), '{a="2"} 17.5 1 2 3')
  table.setMissing(0, true)
  assert.equal(table.describe(0), '{a="1"} NaN missing')
})

test('a table that grows keeps the data of each row', () => {
  const table = createTable({ ...META, type: 'summary', bounds: [0.5] })
  const rows = 1000
  for (let row = 0; row < rows; row++) {
    assert.equal(table.append(`a="${String(row).padStart(4, '0')}"`), row)
    for (const column of [0, 1, 2]) table.set(row, column, row * 3 + column)
    if (row % 3 === 0) table.setCreated(row, row)
    if (row % 5 === 0) table.setMissing(row, true)
  }
  table.sortNewRows()
  const { order, values, created, length, labels } = table.snapshot()
  assert.equal(length, rows)
  assert.equal(order.length, 800)
  assert.equal(table.countOmittedRows(), 200)
  assert.equal(created?.length, rows)
  assert.equal(values.length, rows * 3)
  assert.equal(labels.ends[rows - 1], rows * 'a="0000"'.length)
  for (let row = 0; row < rows; row++) {
    assert.deepEqual([...values.subarray(row * 3, row * 3 + 3)], [row * 3, row * 3 + 1, row * 3 + 2]) // prettier-ignore
    assert.deepEqual(created[row], row % 3 === 0 ? row : NaN)
    assert.equal(order.includes(row), row % 5 !== 0)
  }
})

test('consecutive snapshots of a table share the arrays that did not change, and only those', () => {
  const table = createTable(META)
  table.append('a="1"')
  table.append('a="2"')
  table.setCreated(0, 5)
  const first = table.snapshot()
  // Setting the same values again creates no new snapshot.
  table.setCreated(0, 5)
  table.setMissing(0, false)
  table.set(0, 0, 0)
  assert.equal(table.snapshot(), first)

  table.set(0, 0, 7)
  const second = table.snapshot()
  assert.notEqual(second, first)
  assert.deepEqual([first.values[0], second.values[0]], [0, 7])
  assert.equal(second.order, first.order)
  assert.equal(second.labels, first.labels)
  assert.equal(second.created, first.created)

  table.setCreated(0, 6)
  const third = table.snapshot()
  assert.deepEqual([first.created?.[0], third.created?.[0]], [5, 6])
  assert.equal(third.order, first.order)

  table.setMissing(1, true)
  const fourth = table.snapshot()
  assert.notEqual(fourth.order, first.order)
  assert.deepEqual([...fourth.order], [0])
  table.setMissing(1, true)
  assert.equal(table.snapshot(), fourth)

  table.append('a="0"')
  assert.deepEqual([...table.snapshot().order], [2, 0])
})

test('setting an unknown creation time creates no column of creation times', () => {
  const table = createTable(META)
  table.append('a="1"')
  table.setCreated(0, NaN)
  assert.equal(table.snapshot().created, undefined)
})

test('each snapshot of a table has its own copy of the values, for tables of any size', () => {
  const sizes = [1, 2, 510, 511, 512, 513, 1000, 2047, 2048, 2049]
  const tables = sizes.map((size) => {
    const table = createTable(META)
    for (let row = 0; row < size; row++) {
      table.append(`a="${row}"`)
      table.set(row, 0, size + row)
    }
    return table
  })
  const snapshots = tables.map((table) => table.snapshot())
  const expected = sizes.map((size) => Array.from({ length: size }, (_, row) => size + row))
  assert.deepEqual(snapshots.map(({ values }) => [...values]), expected) // prettier-ignore
  for (const table of tables) {
    table.set(0, 0, -1)
    table.snapshot()
  }
  assert.deepEqual(snapshots.map(({ values }) => [...values]), expected) // prettier-ignore
})

test('a second row with the same labels is omitted and counted, also if the first row was sorted earlier', () => {
  const table = createTable(META)
  for (const labels of ['b', 'a', 'b', 'a']) table.append(labels)
  table.sortNewRows()
  assert.deepEqual([...table.snapshot().order], [1, 0])
  assert.equal(table.countOmittedRows(), 2)
  for (const labels of ['c', 'a', '', 'c', 'b']) table.append(labels)
  for (let row = 0; row < 9; row++) table.set(row, 0, row)
  assert.deepEqual(rows(table.snapshot()), [
    ['', 6],
    ['a', 1],
    ['b', 0],
    ['c', 4],
  ])
  assert.equal(table.countOmittedRows(), 5)
})
