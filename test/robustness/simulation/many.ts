// Simulates the exporter against a server and a network that fail at random, without real time.
// Run: npm run simulate [-- COUNT [FIRST]]. The seeds are FIRST and the following numbers. The defaults are
// 100,000 simulations and the first seed 1. With COUNT 1, the events of the simulation are printed.

import process from 'node:process'
import { simulate } from './scenario.js'

const [count = 100_000, first = 1] = process.argv.slice(2).map(Number)
const startedAt = performance.now()
const total = { scrapes: 0, ups: 0, failed: 0 }
for (let seed = first; seed < first + count; seed++) {
  try {
    const { scrapes, ups, script } = await simulate(seed)
    total.scrapes += scrapes
    total.ups += ups
    if (count === 1) console.log(script.join('\n'))
  } catch (error) {
    total.failed++
    console.error((error as Error).message)
  }
}
console.log(
  `${count} scenarios, seeds ${first} to ${first + count - 1}: ${total.failed} failed; ` +
    `${total.scrapes} scrapes judged, ${total.ups} of them with the server's series; ` +
    `${Math.round((performance.now() - startedAt) / 1000)} s`,
)
if (total.failed > 0) process.exitCode = 1
