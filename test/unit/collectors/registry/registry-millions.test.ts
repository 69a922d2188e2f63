import assert from 'node:assert/strict'
import { test } from 'node:test'
import { KEEP_ALL } from '../../../../src/collectors/registry/registry-filter.js'
import { createRegistryTables } from '../../../../src/collectors/registry/registry-lines.js'

test('if the server sends 1.2 million series, the tables never store more than twice the series limit plus 110,000', () => {
  const [families, perFamily, pageSize, maxSeries] = [3, 400_000, 10_000, 100_000]
  const tables = createRegistryTables({ ...KEEP_ALL, maxSeries })
  let id = 0
  let most = 0
  for (let family = 0; family < families; family++) {
    for (let page = 0; page < perFamily / pageSize; page++) {
      const first = id + 1
      let lines = `F\t${family}\tgauge\tf${family}\t\t\t1\tn\n`
      for (let row = 0; row < pageSize; row++) lines += `S\t${++id}\t${family}\t\t${row}\t1\n`
      tables.apply(lines, first, id)
      tables.settle()
      let stored = 0
      for (const { table } of tables.sources()) stored += table.snapshot().length
      most = Math.max(most, stored)
    }
  }
  assert.equal(id, families * perFamily)
  assert.ok(most <= 2 * maxSeries + 100_000 + pageSize, `${most} series were stored`)
  let omitted = 0
  for (const count of tables.omitted().values()) omitted += count
  assert.equal(omitted, id)
})
