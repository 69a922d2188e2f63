import assert from 'node:assert/strict'
import { test } from 'node:test'
import { isServerFamily, readExposition, seriesOf, type Family } from '../support/compare.js'
import { prosodyVersions } from '../support/prosody.js'
import { evalLua } from '../support/real.js'
import {
  compareAll,
  compareUnderTraffic,
  FIRST,
  SECOND,
  valueOf,
  withServer,
} from '../support/registry-comparison.js'
import { registrySteps } from '../support/registry-steps.js'

const isStepped = ({ name }: Family) => /test_(step|families)/.test(name)

for (const version of prosodyVersions) {
  test(`during traffic, the text format and OpenMetrics have exactly the series of mod_http_openmetrics (Prosody ${version})`, async (t) => {
    await compareUnderTraffic(t, version)
  })

  for (const seed of [1, 2, 3]) {
    test(`two exporters have the same series as Prosody ${version} during 200 random changes of the registry (seed ${seed})`, async (t) => {
      const { prosody, first, second } = await withServer(t, version)
      const exporters = { [FIRST]: first, [SECOND]: second }
      const steps = registrySteps(seed, { domains: [FIRST, SECOND], hosts: prosody.hosts })
      const types = new Set<string>()
      let done = 0
      while (done < 200) {
        const { lua, count, loaded, readers, shouldCompare } = steps.next(200 - done)
        await evalLua(prosody, lua)
        done += count
        for (const domain of readers) {
          const { text } = await exporters[domain]!.get('/metrics')
          const families = readExposition(text, 'text')
          const success = valueOf(families, 'prosody_exporter_collector_success')
          assert.equal(success, Number(loaded.includes(domain)), `${domain} at step ${done}`)
          assert.equal(families.some(isServerFamily), success === 1)
        }
        if (shouldCompare || done === 200) {
          const readable = loaded.map((domain) => exporters[domain]!)
          await Promise.all([
            runInTurn(steps.many(30), (moves) => evalLua(prosody, moves)),
            ...readable.map((each) => runInTurn(Array(10), () => each.get('/metrics'))),
          ])
          const compared = await compareAll(prosody, readable).catch((error: unknown) => {
            throw new Error(`the test failed at step ${done} with the seed ${seed}`, {
              cause: error,
            })
          })
          for (const family of compared.filter(isStepped)) types.add(family.type)
        }
      }
      await evalLua(prosody, steps.loadAll())
      const last = await compareAll(prosody, [second, first])
      const stepped = last.filter(isStepped)
      t.diagnostic(`seed ${seed}: ${stepped.length} families, ${seriesOf(stepped).size} samples`)
      assert.deepEqual([...types].sort(), ['counter', 'gauge', 'histogram', 'summary'])
    })
  }
}

async function runInTurn<T>(
  items: readonly T[],
  run: (item: T) => Promise<unknown>,
): Promise<void> {
  for (const item of items) await run(item)
}
