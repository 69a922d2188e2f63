import assert from 'node:assert/strict'
import { test } from 'node:test'
import { simulate } from './simulation/scenario.js'

// This test runs 500 simulations. `npm run simulate` runs 100,000.
const COUNT = 500

test(`in ${COUNT} simulations with failures of server and network, no scrape is wrong and no resource stays open`, async () => {
  const failed: string[] = []
  let ups = 0
  for (let seed = 1; seed <= COUNT; seed++) {
    const outcome = await simulate(seed).catch((error: unknown) => (error as Error).message)
    if (typeof outcome === 'string') failed.push(outcome)
    else ups += outcome.ups
  }
  assert.deepEqual(failed, [])
  assert.ok(ups > 2 * COUNT, `only ${ups} scrapes returned series of the server`)
})
