import assert from 'node:assert/strict'
import { test } from 'node:test'
import { KEEP_ALL } from '../../src/collectors/registry-filter.js'
import { createRegistryTables } from '../../src/collectors/registry-lines.js'

test('of ten million series, told page by page, no more are kept than there is room for', () => {
  const [families, perFamily] = [10, 1_000_000]
  const tables = createRegistryTables({ ...KEEP_ALL, maxSeries: 100_000 })
  let id = 0
  let most = 0
  for (let family = 0; family < families; family++) {
    for (let page = 0; page < perFamily / 10_000; page++) {
      const first = id + 1
      let lines = `F\t${family}\tgauge\tf${family}\t\t\t1\tn\n`
      for (let row = 0; row < 10_000; row++) lines += `S\t${++id}\t${family}\t\t${row}\t1\n`
      tables.apply(lines, first, id)
      tables.settle()
      let kept = 0
      for (const { table } of tables.sources()) kept += table.snapshot().length
      most = Math.max(most, kept)
    }
  }
  assert.equal(id, 10_000_000)
  assert.ok(most <= 2 * 100_000 + 100_000 + 10_000, `${most} were kept`)
  let told = 0
  for (const count of tables.leftOut().values()) told += count
  assert.equal(told, 10_000_000)
})
