/** A flood of webhook calls, during which the exporter has to do its other work. */

import assert from 'node:assert/strict'
import type { TestContext } from 'node:test'
import type { ProsodyVersion } from '../../support/prosody.js'
import { sampleValue } from '../../support/real.js'
import { until } from '../../support/setup/process.js'
import {
  ADMIN,
  createCalls,
  kickRepeatedly,
  MB,
  readMemory,
  replyToEach,
  resetPeakMemory,
  ROOM,
  scrapeRepeatedly,
  sendAll,
  startHostileSetup,
  statusOf,
  VALID,
} from './setup.js'

export const CALLS = 100_000
const SCRAPE_TIMEOUT_S = 10
const MAX_GROWTH = 100 * MB

/**
 * Calls the webhook as fast as the exporter answers, while a room removes the exporter and a client answers each message.
 * Checks the memory, the scrapes, and who gets messages.
 */
export async function floodExporter(t: TestContext, version: ProsodyVersion): Promise<void> {
  const setup = await startHostileSetup(t, version)
  const { exporter, relay, admin } = setup
  await sendAll(setup, createCalls(0, 500))
  const scrapes = scrapeRepeatedly(exporter, SCRAPE_TIMEOUT_S)
  await until(() => scrapes.count() >= 5, { what: 'five scrapes' })
  const before = await readMemory(exporter.pid)
  await resetPeakMemory(exporter.pid)

  const replies = replyToEach(admin)
  const kicks = await kickRepeatedly(t, setup)
  const half = CALLS / 2
  const statuses = await sendAll(setup, createCalls(500, half))
  await kicks.stop()
  for (const [status, count] of await sendAll(setup, createCalls(500 + half, half))) {
    statuses.set(status, (statuses.get(status) ?? 0) + count)
  }
  const after = await readMemory(exporter.pid)
  await scrapes.stop()
  t.diagnostic(
    `answers ${JSON.stringify(Object.fromEntries(statuses))}; ${kicks.count()} kicks; ` +
      `${replies.count()} replies; ${scrapes.count()} scrapes, the longest ${scrapes.longestMs()} ms; ` +
      `memory before ${Math.round(before.now / MB)} MB, peak ${Math.round(after.peak / MB)} MB`,
  )
  assert.ok(kicks.count() > 0 && replies.count() > 0)
  assert.deepEqual(scrapes.problems(), [])
  assert.ok(
    [...statuses.keys()].every((status) =>
      [200, 400, 401, 405, 413, 429, 503, 'reset'].includes(status),
    ),
    JSON.stringify([...statuses]),
  )
  assert.ok(statuses.has(200), `no alert was delivered: ${JSON.stringify([...statuses])}`)
  const growth = after.peak - before.now
  assert.ok(growth <= MAX_GROWTH, `the memory grew by ${Math.round(growth / MB)} MB`)

  await until(async () => (await statusOf(setup, VALID)) === 200, {
    what: 'the exporter delivers an alert after the flood, also to the room',
    everyMs: 500,
  })
  const recipients = relay.sent
    .filter(({ name }) => name !== 'iq')
    .map(({ attrs }) => attrs.to?.split('/')[0])
  assert.deepEqual([...new Set(recipients)].sort(), [ADMIN, ROOM].sort())
  assert.equal(sampleValue((await exporter.get('/metrics')).text, 'xmpp_up'), 1)
}
