/** Runs several scenarios at a time, each with its own Prosody and its own exporter. */

import type { TestContext } from 'node:test'
import { prosodyVersions } from '../../support/prosody.js'
import { judgeDeliveries } from './judge.js'
import { startLane, type Lane } from './lane.js'
import { RECIPIENTS } from './recipients.js'
import { collectMessages, runAlertScenario, type AlertOutcome } from './run.js'
import type { AlertScenario } from './scenarios.js'

const LANES = 4

export type AlertResult = { readonly scenario: AlertScenario; readonly version: string } & (
  { readonly outcome: AlertOutcome } | { readonly error: unknown; readonly log: string }
)

/** Runs all scenarios, even if one fails. The lanes have all tested versions of Prosody in turn. */
export async function runAlertScenarios(
  t: Pick<TestContext, 'after'>,
  scenarios: readonly AlertScenario[],
  onResult: (result: AlertResult) => void,
): Promise<void> {
  const pending = [...scenarios]
  await Promise.all(
    Array.from({ length: Math.min(LANES, pending.length) }, async (_, index) => {
      const version = prosodyVersions[index % prosodyVersions.length]!
      let lane = await startLane(t, version)
      let done: { scenario: AlertScenario; outcome: AlertOutcome }[] = []
      for (let scenario = pending.shift(); scenario; scenario = pending.shift()) {
        try {
          done.push({ scenario, outcome: await runAlertScenario(scenario, lane) })
        } catch (error) {
          onResult({ scenario, version, error, log: lane.exporter().stderr().slice(-4000) })
          // The lane can be broken, so this is only a try.
          await lane.recipients.collect().catch(() => undefined)
          report(lane, version, done, onResult)
          lane = await startLane(t, version)
          done = []
        }
      }
      await collectMessages(lane)
      report(lane, version, done, onResult)
    }),
  )
}

/** Reports the scenarios of a lane. It checks their messages again, because a duplicate can arrive late. */
function report(
  lane: Lane,
  version: string,
  done: readonly { scenario: AlertScenario; outcome: AlertOutcome }[],
  onResult: (result: AlertResult) => void,
): void {
  const { recipients } = lane
  for (const { scenario, outcome } of done) {
    const problems = judgeDeliveries(scenario, RECIPIENTS, recipients.count.bind(recipients))
    if (problems.length === 0) onResult({ scenario, version, outcome })
    else {
      const error = new Error(`after the last scenario: ${problems.join('; ')}`)
      onResult({ scenario, version, error, log: lane.exporter().stderr().slice(-4000) })
    }
  }
}
