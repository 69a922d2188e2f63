// Tests the exporter against hostile input from all sides, while it delivers alerts through a real Prosody: webhook calls,
// a room that removes it, a client that answers every message, and forged senders. A relay records what it sends.

import xml, { type Element } from '@xmpp/xml'
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { connectAsServer } from '../support/dialback-server.js'
import { createNotification } from '../support/notifications.js'
import { prosodyVersions } from '../support/prosody.js'
import { until } from '../support/setup/process.js'
import { connectComponent } from '../support/xmpp-client.js'
import { CALLS, floodExporter } from './hostile-alerts/flood.js'
import {
  ADMIN,
  EVIL,
  MALLORY,
  MB,
  ROOM,
  SENDER,
  startHostileSetup,
  STATS,
  statusOf,
  VALID,
} from './hostile-alerts/setup.js'

/** Returns the valid notification with a change. */
const changed = (change: (notification: ReturnType<typeof createNotification>) => unknown) =>
  JSON.stringify(change(JSON.parse(VALID) as ReturnType<typeof createNotification>))
const changedAlert = (change: object) =>
  changed(({ alerts, ...rest }) => ({ ...rest, alerts: [{ ...alerts[0], ...change }] }))

const WRONG_BODIES: readonly (readonly [what: string, body: string | Uint8Array])[] = [
  ['nothing', ''],
  ['no JSON', 'alert!'],
  ['the beginning of JSON', VALID.slice(0, -1)],
  ['JSON and more', `${VALID}]`],
  ['bytes that are not UTF-8', Buffer.from([0x7b, 0xff, 0xfe, 0x7d])],
  ['null', 'null'],
  ['a number', '4'],
  ['a text', '"firing"'],
  ['a list', `[${VALID}]`],
  ['an empty object', '{}'],
  ['a deep list', '['.repeat(200_000)],
  ['a deep object', '{"alerts":'.repeat(100_000)],
  ['another version', changed((rest) => ({ ...rest, version: '3' }))],
  ['a version that is a number', changed((rest) => ({ ...rest, version: 4 }))],
  ['another status', changed((rest) => ({ ...rest, status: 'burning' }))],
  ['alerts that are an object', changed((rest) => ({ ...rest, alerts: { 0: rest.alerts[0] } }))],
  ['no alerts', changed((rest) => ({ ...rest, alerts: undefined }))],
  ['an empty list of alerts', changed((rest) => ({ ...rest, alerts: [] }))],
  ['an alert that is null', changed((rest) => ({ ...rest, alerts: [null] }))],
  ['an alert that is a list', changed((rest) => ({ ...rest, alerts: [[]] }))],
  ['labels that are a list', changedAlert({ labels: ['a'] })],
  ['a label that is a number', changedAlert({ labels: { alertname: 4 } })],
  ['a label that is an object', changedAlert({ labels: { alertname: {} } })],
  ['an annotation that is true', changedAlert({ annotations: { summary: true } })],
  ['a time that is a number', changedAlert({ startsAt: 0 })],
  ['a time that is none', changedAlert({ startsAt: 'yesterday' })],
  ['an alert with another status', changedAlert({ status: 'burning' })],
  ['a fingerprint that is an object', changedAlert({ fingerprint: {} })],
]

const messagesOf = (stanzas: readonly Element[]) => stanzas.filter(({ name }) => name === 'message')

for (const version of prosodyVersions) {
  test(`the webhook rejects each kind of wrong request, and sends nothing (Prosody ${version})`, async (t) => {
    const setup = await startHostileSetup(t, version)
    for (const [what, body] of WRONG_BODIES) assert.equal(await statusOf(setup, body), 400, what)
    for (const token of ['', 'wrong', 'token-of-the-alert', 'token-of-the-alertsx', 'ü']) {
      const sent = await statusOf(setup, VALID, { token: encodeURIComponent(token) })
      assert.equal(sent, 401, `token ${token}`)
    }
    for (const method of ['GET', 'PUT', 'DELETE']) {
      assert.equal(await statusOf(setup, VALID, { method }), 405, method)
    }
    const huge = changedAlert({ labels: { alertname: 'x'.repeat(10 * MB) } })
    for (const isChunked of [false, true]) {
      const status = await statusOf(setup, huge, { isChunked })
      assert.ok(status === 413 || status === 'reset', `chunked ${isChunked}: ${status}`)
    }
    assert.deepEqual(messagesOf(setup.relay.sent).map(String), [])

    assert.equal(await statusOf(setup, VALID), 200)
    assert.deepEqual(
      messagesOf(setup.relay.sent)
        .map(({ attrs }) => attrs.to)
        .sort(),
      [ADMIN, ROOM].sort(),
    )
  })

  test(`control characters and long labels do not reach the recipients (Prosody ${version})`, async (t) => {
    const setup = await startHostileSetup(t, version)
    const controls = Array.from({ length: 160 }, (_, code) => String.fromCharCode(code)).join('')
    const nasty = `start ${controls}\u202e\ufffe\ud800</body></message><message to="${MALLORY}"/> end`
    const alert = {
      name: 'TestNasty',
      summary: nasty,
      labels: { host: 'y'.repeat(100_000), nasty, severity: nasty },
    }
    const body = JSON.stringify(createNotification([alert, { ...alert, name: nasty }]))
    assert.equal(await statusOf(setup, body), 200)
    const message = await setup.admin.next(({ name }) => name === 'message')
    const text = message.getChildText('body') ?? ''
    assert.match(text, /start .*<\/body><\/message>/)
    assert.doesNotMatch(text, /(?!\n)[\p{Cc}\p{Cs}\u202e\ufffe]/u)
    assert.ok(text.length <= 4000, `the text has ${text.length} characters`)
    const people = messagesOf(setup.relay.sent).map(({ attrs }) => attrs.to)
    assert.deepEqual(people.sort(), [ADMIN, ROOM].sort())
  })

  test(`only configured recipients get messages, whoever forges a sender (Prosody ${version})`, async (t) => {
    const setup = await startHostileSetup(t, version)
    const { prosody, relay } = setup
    const far = await connectAsServer(t, prosody, { domain: 'far.example', to: STATS })
    const evil = await connectComponent({
      port: prosody.ports.component,
      domain: EVIL,
      secret: prosody.secret,
    })
    t.after(() => evil.close())
    const forged = [
      ...[`user@${EVIL}`, MALLORY, SENDER, STATS, ROOM, `${ROOM}/alerts`, `${ADMIN}/forged`],
      ...['nobody@two.example', `a b@${EVIL}`, '@', ''],
    ]
    for (const from of forged) {
      for (const type of ['chat', 'normal', 'groupchat', 'headline', 'error']) {
        for (const text of ['help', 'status', 'silence X 2h', 'yes 123456']) {
          evil.send(xml('message', { from, to: SENDER, type }, xml('body', {}, text)))
        }
      }
      for (const type of ['subscribe', 'unavailable', 'error', 'probe']) {
        evil.send(xml('presence', { from, to: SENDER, type }))
        evil.send(xml('presence', { from, to: `${SENDER}/x`, type }))
      }
    }
    far.send(`<message from='mallory@far.example' to='${SENDER}'><body>status</body></message>`)
    await until(() => relay.received.some(({ attrs }) => attrs.from === 'mallory@far.example'), {
      what: 'the message of the far user arrives at the exporter',
    })
    far.send(`<message from='${ADMIN}' to='${SENDER}'><body>status over s2s</body></message>`)
    await far.closed
    assert.match(far.output(), /invalid-from|host-unknown|not-authorized|improper-addressing/)

    // When this alert has arrived, the exporter has handled all stanzas before it.
    // A forged presence can remove the exporter from the room until it joins again.
    await until(async () => (await statusOf(setup, VALID)) === 200, {
      what: 'the exporter delivers an alert after the forged stanzas',
      everyMs: 500,
    })
    assert.ok(relay.received.every((stanza) => !stanza.toString().includes('status over s2s')))
    const recipients = messagesOf(relay.sent).map(({ attrs }) => attrs.to?.split('/')[0])
    assert.deepEqual([...new Set(recipients)].sort(), [ADMIN, ROOM].sort())
    // Answers go to the real person, who has not asked, so their number is limited.
    assert.ok(recipients.filter((to) => to === ADMIN).length <= 12, String(recipients.length))
  })
}

// `npm run test:matrix` runs this test with Prosody 0.12.
test(`${CALLS} webhook calls, a room that kicks and a client that answers: little memory, and every scrape is answered`, async (t) => {
  await floodExporter(t, '13.0.1')
})
