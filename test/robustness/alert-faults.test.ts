import assert from 'node:assert/strict'
import { test } from 'node:test'
import { judgeDeliveries } from './alert-faults/judge.js'
import { runAlertScenarios, type AlertResult } from './alert-faults/lanes.js'
import { randomAlertScenario, type AlertScenario } from './alert-faults/scenarios.js'

test('the check of a scenario rejects a lost message, and more duplicates than outages that can cause one', () => {
  const outage = (where: 'xmpp' | 'http') =>
    ({ fault: { where, how: 'reset' }, when: 'answered', forMs: 0 }) as const
  const scenario: AlertScenario = {
    ...randomAlertScenario(1),
    firing: [outage('xmpp'), outage('http')],
    resolved: [outage('http')],
  }
  const judge = (firing: number, resolved: number) =>
    judgeDeliveries(scenario, ['a', 'b'], (recipient, _, status) => {
      if (recipient === 'a') return 1
      return status === 'firing' ? firing : resolved
    })
  assert.deepEqual(judge(1, 1), [])
  assert.deepEqual(judge(2, 1), [])
  for (const [firing, resolved] of [
    [0, 1],
    [3, 1],
    [1, 0],
    [1, 2],
  ] as const) {
    const problems = judge(firing, resolved)
    assert.equal(problems.length, 1, `${firing} ${resolved}`)
    assert.match(problems[0]!, /^b received/)
  }
})

// This test runs 12 random scenarios. `npm run alert-faults` runs more of them.
const SEEDS = 12

test(`an alert and its resolution reach all recipients in ${SEEDS} scenarios with random outages`, async (t) => {
  const results: AlertResult[] = []
  const scenarios = Array.from({ length: SEEDS }, (_, seed) => randomAlertScenario(seed))
  await runAlertScenarios(t, scenarios, (result) => results.push(result))
  for (const result of results) {
    await t.test(`${result.scenario.name} (${result.version})`, () => {
      if (!('error' in result)) return
      t.diagnostic(`${JSON.stringify(result.scenario)}\n${result.log}`)
      throw result.error
    })
  }
  assert.equal(results.length, SEEDS)
})
