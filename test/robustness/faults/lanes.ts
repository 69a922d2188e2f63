/**
 * Runs several scenarios at a time, each against its own Prosody. After each scenario, Prosody must still serve an
 * XMPP client.
 */

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

/** Runs all scenarios, even if one fails. The Prosody servers that run in parallel have all tested versions in turn. */
export async function runAll(
  t: Pick<TestContext, 'after'>,
  scenarios: readonly Scenario[],
  onResult: (result: Result) => void,
): Promise<void> {
  const pending = [...scenarios]
  await Promise.all(
    Array.from({ length: LANES }, async (_, lane) => {
      const version = prosodyVersions[lane % prosodyVersions.length]!
      const prosody = await withProsody(t, {
        version,
        modules: ['test_faults', 'test_eval'],
        users: { 'user@one.example': 'password' },
      })
      const loginClient = () =>
        login({ port: prosody.ports.c2s, jid: 'user@one.example', password: 'password' })
      let client = await loginClient()
      for (let scenario = pending.shift(); scenario; scenario = pending.shift()) {
        try {
          const outcome = await runScenario(scenario, prosody, prosody.statsDomains[0]!)
          if (
            scenario.prosodyChange?.kind === 'kill' ||
            scenario.prosodyChange?.kind === 'restart'
          ) {
            client.destroy()
            client = await loginClient()
          }
          const ping = xml('ping', { xmlns: 'urn:xmpp:ping' })
          const { attrs } = await client.iq('get', 'one.example', ping)
          assert.equal(attrs['type'], 'result', 'Prosody still serves its XMPP clients')
          onResult({ scenario, version, outcome })
        } catch (error) {
          onResult({ scenario, version, error })
          client.destroy()
          await prosody.restart()
          client = await loginClient()
        }
      }
      await client.close()
    }),
  )
}
