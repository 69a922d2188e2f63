// Runs any number of random fault scenarios with alerts against real Prosody servers.
// Run: npm run alert-faults [-- COUNT [FIRST]]. The seeds are FIRST and the following numbers. The defaults are 200
// scenarios and the first seed 1000. With COUNT 1, only the scenario of the seed FIRST runs.

import process from 'node:process'
import { runAlertScenarios, type AlertResult } from './lanes.js'
import { randomAlertScenario } from './scenarios.js'

const [count = 200, first = 1000] = process.argv.slice(2).map(Number)
const ends: (() => Promise<void>)[] = []
const results: AlertResult[] = []
const startedAt = performance.now()
try {
  await runAlertScenarios(
    {
      after: (end) => {
        ends.push(end as () => Promise<void>)
      },
    },
    Array.from({ length: count }, (_, i) => randomAlertScenario(first + i)),
    (result) => {
      results.push(result)
      if (!('error' in result)) return
      console.error(`${result.scenario.name}, Prosody ${result.version}:`, result.error)
      console.error(`${JSON.stringify(result.scenario)}\nThe exporter logged:\n${result.log}`)
    },
  )
} finally {
  for (const end of ends.reverse()) await end()
}
const outcomes = results.flatMap((result) => ('outcome' in result ? result.outcome : []))
const outages = results.flatMap(({ scenario }) => [...scenario.firing, ...scenario.resolved])
const duplicates = outcomes.reduce((sum, each) => sum + each.duplicates, 0)
const failed = results.length - outcomes.length
const withAlertmanager = results.filter(({ scenario }) => scenario.sender === 'alertmanager')
console.log(
  `${results.length} scenarios, seeds ${first} to ${first + count - 1}: ${failed} failed; ` +
    `${withAlertmanager.length} with a real Alertmanager; ${outages.length} outages; ` +
    `${duplicates} duplicates; ${Math.round((performance.now() - startedAt) / 1000)} s`,
)
process.exit(failed > 0 ? 1 : 0)
