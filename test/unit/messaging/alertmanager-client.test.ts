import assert from 'node:assert/strict'
import type { ServerResponse } from 'node:http'
import { test } from 'node:test'
import { createAlertmanagerClient } from '../../../src/messaging/alertmanager-client.js'
import { AnswerError } from '../../../src/messaging/answer-error.js'
import { createTaskQueue } from '../../../src/task-queue.js'
import { realTime } from '../../../src/xmpp/schedule.js'
import { createClock } from '../../support/clock.js'
import { startFakeAlertmanager } from '../../support/fake-alertmanager.js'
import { freePort } from '../../support/setup/process.js'

const clientOf = (url: string, schedule = realTime) =>
  createAlertmanagerClient({ url, fetch, schedule, queue: createTaskQueue() })

/** Asserts that the promise rejects with one line for the person. */
async function assertExplained(promise: Promise<unknown>, expected: RegExp): Promise<void> {
  const error: unknown = await promise.then(
    () => undefined,
    (reason: unknown) => reason,
  )
  assert.ok(error instanceof AnswerError, String(error))
  assert.match(error.message, expected)
  assert.match(error.message, /alertmanager\.url|refused the request|silence NAME 2h/)
  assert.doesNotMatch(error.message, /\n/)
  assert.ok(error.message.length < 600)
}

test('an Alertmanager that does not listen is not reachable', async () => {
  const url = `http://127.0.0.1:${await freePort()}`
  await assertExplained(clientOf(url).listAlerts(), /is not reachable \(ECONNREFUSED\)/)
})

test('an Alertmanager that does not answer gets five seconds', async (t) => {
  const fake = await startFakeAlertmanager(t)
  const clock = createClock()
  const asked = new Promise<void>((resolve) => {
    fake.answer = () => {
      resolve()
    }
  })
  const listed = clientOf(fake.url, clock.schedule).listAlerts()
  const explained = assertExplained(listed, /did not answer within 5 s/)
  await asked
  clock.advance(5000)
  await explained
  assert.equal(clock.pending(), 0)
})

test('an answer that never ends gets five seconds, too', async (t) => {
  const fake = await startFakeAlertmanager(t)
  const clock = createClock()
  const asked = new Promise<void>((resolve) => {
    fake.answer = (_, response) => {
      response.writeHead(200)
      response.write('[', () => {
        resolve()
      })
    }
  })
  const explained = assertExplained(
    clientOf(fake.url, clock.schedule).listAlerts(),
    /did not answer within 5 s/,
  )
  await asked
  clock.advance(5000)
  await explained
})

test('a redirect is not followed', async (t) => {
  const fake = await startFakeAlertmanager(t)
  const other = await startFakeAlertmanager(t)
  for (const status of [301, 302, 303, 307, 308]) {
    fake.answer = (_, response) => response.writeHead(status, { Location: other.url }).end()
    await assertExplained(clientOf(fake.url).listAlerts(), /redirects requests/)
  }
  assert.deepEqual(other.requests, [])
})

const reply = (status: number, text: string) => (_: unknown, response: ServerResponse) =>
  response.writeHead(status).end(text)
for (const [what, answer, expected] of [
  ['a password', reply(401, 'no'), /status 401\. Set alertmanager\.url/],
  ['a proxy that refuses', reply(403, 'no'), /status 403/],
  ['another path', reply(404, 'no'), /does not have this path\. Check alertmanager\.url/],
  ['a reason', reply(400, '"bad\n matcher"'), /with status 400 \("bad matcher"\)\.$/],
  ['no reason', reply(500, ''), /with status 500 \(no reason\)\.$/],
  ['a long reason', reply(500, 'x'.repeat(10_000)), /with status 500 \(x{199}…\)\.$/],
  ['HTML', reply(200, '<html>'), /unexpected answer: the answer is not JSON/],
  ['nothing', reply(200, ''), /the answer is not a list/],
  ['an object', reply(200, '{}'), /the answer is not a list/],
  ['a list of numbers', reply(200, '[1]'), /the answer is not a list/],
  ['null in a list', reply(200, '[null]'), /the answer is not a list/],
  ['9 MiB', reply(200, ' '.repeat(9 * 1024 * 1024)), /has more than 8 MiB of alerts or silences/],
] as const) {
  test(`an Alertmanager that answers with ${what} is explained`, async (t) => {
    const fake = await startFakeAlertmanager(t)
    fake.answer = answer
    await assertExplained(clientOf(fake.url).listAlerts(), expected)
    await assertExplained(clientOf(fake.url).listSilences(), expected)
  })
}

test('alerts and silences with missing or wrong fields are read', async (t) => {
  const fake = await startFakeAlertmanager(t)
  fake.answer = reply(
    200,
    JSON.stringify([{}, { labels: 1, annotations: [], status: 'x', startsAt: 5, matchers: 'x' }]),
  )
  const empty = { name: '', labels: {}, annotations: {}, startsAtMs: NaN, isSilenced: false }
  const [first, second] = await clientOf(fake.url).listAlerts()
  assert.deepEqual(first, empty)
  assert.equal(second!.name, '')
  assert.deepEqual(await clientOf(fake.url).listSilences(), [])
})

test('the address can have a path', async (t) => {
  const fake = await startFakeAlertmanager(t)
  fake.answer = reply(200, '[]')
  await clientOf(`${fake.url}/alertmanager`).listAlerts('A "b"')
  assert.deepEqual(fake.requests, [
    'GET /alertmanager/api/v2/alerts?active=true&silenced=true&inhibited=false&unprocessed=false' +
      '&filter=alertname%3D%22A%20%5C%22b%5C%22%22',
  ])
})
