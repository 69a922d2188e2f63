/** Scenarios side by side, each lane with a Prosody of its own and a client that it must go on serving. */

import xml from '@xmpp/xml'
import assert from 'node:assert/strict'
import type { TestContext } from 'node:test'
import { prosodyVersions, withProsody } from '../../support/prosody.js'
import { login } from '../../support/xmpp-client.js'
import { runScenario, type Outcome } from './run.js'
import type { Scenario } from './scenarios.js'

const LANES = 4

export type Result = { readonly scenario: Scenario; readonly version: string } & (
  { readonly outcome: Outcome } | { readonly error: unknown }
)

/** Runs all of them, whatever becomes of one; Prosody's versions take turns. */
export async function runAll(
  t: Pick<TestContext, 'after'>,
  scenarios: readonly Scenario[],
  onResult: (result: Result) => void,
): Promise<void> {
  const left = [...scenarios]
  await Promise.all(
    Array.from({ length: LANES }, async (_, lane) => {
      const version = prosodyVersions[lane % prosodyVersions.length]!
      const prosody = await withProsody(t, {
        version,
        modules: ['test_faults', 'test_eval'],
        users: { 'user@one.example': 'password' },
      })
      const enter = () =>
        login({ port: prosody.ports.c2s, jid: 'user@one.example', password: 'password' })
      let client = await enter()
      for (let scenario = left.shift(); scenario; scenario = left.shift()) {
        try {
          const outcome = await runScenario(scenario, prosody, prosody.statsDomains[0]!)
          if (scenario.doing?.what === 'kill' || scenario.doing?.what === 'restart') {
            client.destroy()
            client = await enter()
          }
          const ping = xml('ping', { xmlns: 'urn:xmpp:ping' })
          const { attrs } = await client.iq('get', 'one.example', ping)
          assert.equal(attrs['type'], 'result', 'Prosody serves its clients')
          onResult({ scenario, version, outcome })
        } catch (error) {
          onResult({ scenario, version, error })
          client.destroy()
          await prosody.restart()
          client = await enter()
        }
      }
      await client.close()
    }),
  )
}
