/**
 * Scrapes real servers of many versions, and compares the results with the table in docs/collectors.md.
 * `npm run test:matrix` runs this test. With MATRIX_WRITE=1, it writes the table instead.
 */

import assert from 'node:assert/strict'
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import process from 'node:process'
import { test, type TestContext } from 'node:test'
import prettier from 'prettier'
import { ejabberdVersions } from '../../support/setup/ejabberd.js'
import { root } from '../../support/setup/process.js'
import { legacyVersion, prosodyVersions } from '../../support/prosody.js'
import { compareUnderTraffic } from '../../support/registry-comparison.js'
import { readStock, type StockResult } from './stock.js'
import { withFarServer, withStockEjabberd, withStockProsody, type Rights } from './servers.js'
import { tableOf, withoutNewest, type Row } from './table.js'

const rows: Row[] = []
const PAGE = join(root, 'docs/collectors.md')

for (const version of [legacyVersion, ...prosodyVersions, 'newest'] as const) {
  test(`the exporter exports the statistics of Prosody ${version}`, async (t) => {
    const results: Partial<Record<Rights, StockResult>> = {}
    // Prosody 0.11 has no registry. `npm run test:matrix` also runs test/integration/legacy.test.ts, which compares the
    // stats of get_stats() in Prosody 0.11.
    if (version !== legacyVersion)
      await t.test('the exporter has exactly the series of the registry', (t) =>
        compareUnderTraffic(t, version),
      )
    for (const rights of ['none', 'admin'] as const) {
      await t.test(
        `statistics without mod_adhoc_statistics, with the rights "${rights}"`,
        async (t) => {
          const far = await withFarServer(t)
          const options = { version, rights, farPort: far.ports.s2s }
          const hints = rights === 'none' ? /for admins only/ : undefined
          results[rights] = await readStock(t, await withStockProsody(t, options), far, hints)
        },
      )
    }
    rows.push(rowOf('Prosody', version, results))
  })
}

for (const version of ejabberdVersions) {
  test(`the exporter exports the statistics of ejabberd ${version}`, async (t) => {
    const results: Partial<Record<Rights, StockResult>> = {}
    for (const rights of rightsOf(version)) {
      await t.test(`statistics with the rights "${rights}"`, async (t: TestContext) => {
        const far = await withFarServer(t)
        const options = { version, rights, farPort: far.ports.s2s }
        const hints =
          rights === 'some'
            ? undefined
            : /^ejabberd_s2s: no data, because ejabberd refuses .* In ejabberd\.yml/
        results[rights] = await readStock(t, await withStockEjabberd(t, options), far, hints)
      })
    }
    rows.push(rowOf('ejabberd', version, results))
  })
}

/** Returns the rights to test. Only since ejabberd 25.03, mod_adhoc_api can grant single commands (`some`). */
function rightsOf(version: string): readonly Rights[] {
  return version === 'newest' ? ['none', 'some', 'admin'] : ['none', 'admin']
}

function rowOf(name: string, version: string, results: Partial<Record<Rights, StockResult>>): Row {
  return { name, isNewest: version === 'newest', results }
}

test('the table in docs/collectors.md matches the results', async () => {
  const table = await prettier.format(tableOf(rows), { parser: 'markdown', printWidth: 100 })
  const between = /(<!-- matrix -->\n)([^]*?)(<!-- \/matrix -->)/
  const text = readFileSync(PAGE, 'utf8')
  const [, , current] =
    between.exec(text) ?? assert.fail('docs/collectors.md has no <!-- matrix --> comments')
  console.log(table)
  if (process.env['MATRIX_WRITE'] === '1') {
    const write = (_: string, before: string, _current: string, after: string) =>
      `${before}\n${table}\n${after}`
    writeFileSync(PAGE, text.replace(between, write))
  } else {
    assert.equal(
      withoutNewest(current!.trim()),
      withoutNewest(table.trim()),
      'Run npm run test:matrix -- --write to write the results into docs/collectors.md.',
    )
  }
})
