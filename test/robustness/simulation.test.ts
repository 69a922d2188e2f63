import assert from 'node:assert/strict'
import { test } from 'node:test'
import { simulate } from './simulation/scenario.js'

// `npm run simulate` goes through 100,000 of them.
const COUNT = 500

test(`${COUNT} lives against a server and a network that fail leave nothing wrong and nothing over`, async () => {
  const failed: string[] = []
  let ups = 0
  for (let seed = 1; seed <= COUNT; seed++) {
    const outcome = await simulate(seed).catch((error: unknown) => (error as Error).message)
    if (typeof outcome === 'string') failed.push(outcome)
    else ups += outcome.ups
  }
  assert.deepEqual(failed, [])
  assert.ok(ups > 2 * COUNT, `the server's series were there in ${ups} scrapes`)
})
