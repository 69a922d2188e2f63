import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import type { Family } from '../src/metrics/family.js'
import { createTable } from '../src/metrics/store.js'

const META = { name: 'test', type: 'gauge', help: '', unit: '', bounds: [] } as const

/** Label text and value of each row that is exposed, in order. */
function rows(family: Family): [string, number][] {
  const { bytes, ends } = family.labels
  return Array.from(family.order, (row) => [
    Buffer.from(bytes.subarray(row === 0 ? 0 : ends[row - 1], ends[row])).toString(),
    family.values[row]!,
  ])
}

test('rows are exposed in the order of their labels, however they come', () => {
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
        table.settle()
      }
      const expected = [...first].sort(([a], [b]) => Buffer.compare(Buffer.from(a), Buffer.from(b)))
      assert.deepEqual(rows(table.snapshot()), expected)
      assert.equal(table.leftOut(), row - first.size)
    }),
  )
})

test('a snapshot never changes', () => {
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

test('a family in which nothing changed is the same object', () => {
  const table = createTable(META)
  table.append('a="1"')
  table.set(0, 0, 1)
  const before = table.snapshot()
  table.set(0, 0, 1)
  table.settle()
  assert.equal(table.snapshot(), before)
  table.set(0, 0, -0)
  assert.notEqual(table.snapshot(), before)
})

test('a row that is missing is left out and comes back', () => {
  const table = createTable(META)
  table.append('a="1"')
  table.append('a="2"')
  table.setMissing(0, true)
  assert.deepEqual(rows(table.snapshot()), [['a="2"', 0]])
  assert.equal(table.leftOut(), 1)
  table.setMissing(0, false)
  assert.equal(table.snapshot().order.length, 2)
  assert.equal(table.leftOut(), 0)
})
