// Runs any number of random fault scenarios against real Prosody servers.
// Run: npm run faults [-- COUNT [FIRST]]. The seeds are FIRST and the following numbers. The defaults are 500
// scenarios and the first seed 1000. With COUNT 1, only the scenario of the seed FIRST runs.

import process from 'node:process'
import { until } from '../../support/setup/process.js'
import { runAll, type Result } from './lanes.js'
import { randomScenario } from './scenarios.js'

const [count = 500, first = 1000] = process.argv.slice(2).map(Number)
const ends: (() => Promise<void>)[] = []
const resources = process.getActiveResourcesInfo().length
const results: Result[] = []
const startedAt = performance.now()
try {
  await runAll(
    {
      after: (end) => {
        ends.push(end as () => Promise<void>)
      },
    },
    Array.from({ length: count }, (_, i) => randomScenario(first + i)),
    (result) => {
      results.push(result)
      if (!('error' in result)) return
      console.error(`${result.scenario.name}, Prosody ${result.version}:`, result.error)
      console.error(JSON.stringify(result.scenario))
    },
  )
} finally {
  for (const end of ends) await end()
}
const outcomes = results.flatMap((result) => ('outcome' in result ? result.outcome : []))
const recoveries = outcomes.map(({ recoveredMs }) => recoveredMs).sort((a, b) => a - b)
const quantile = (q: number) => Math.round(recoveries[Math.floor((recoveries.length - 1) * q)]!)
const scrapes = outcomes.reduce((sum, each) => sum + each.scrapes, 0)
const failed = results.length - outcomes.length
console.log(
  `${results.length} scenarios, seeds ${first} to ${first + count - 1}: ${failed} failed; ${scrapes} scrapes judged; ` +
    `recovered after ${quantile(0.5)} ms (median), ${quantile(0.99)} ms (p99), ${quantile(1)} ms (maximum); ` +
    `${Math.round((performance.now() - startedAt) / 1000)} s`,
)
await until(() => process.getActiveResourcesInfo().length <= resources, {
  what: 'no timer, socket or process remains',
})
process.exit(failed > 0 ? 1 : 0)
