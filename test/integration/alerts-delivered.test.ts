// Tests that an alert reaches people and a room: a real Prometheus with the rules of deploy/prometheus detects a fault of
// a real Prosody, a real Alertmanager posts the alert to the exporter, and the exporter sends it through that Prosody.

import xml, { type Element } from '@xmpp/xml'
import assert from 'node:assert/strict'
import { test, type TestContext } from 'node:test'
import { repeat, shortenRules } from '../support/alert-rules.js'
import { withAlertmanager } from '../support/alertmanager.js'
import { withExporterFor } from '../support/exporter.js'
import { ALERTS_TOKEN, writeMessagingConfig } from '../support/notifications.js'
import { withPrometheus } from '../support/prometheus.js'
import { withProsody, type TestProsody } from '../support/prosody.js'
import { sampleValue, untilReady } from '../support/real.js'
import { openRoom } from '../support/rooms.js'
import { until } from '../support/setup/process.js'
import { authenticate, login, type XmppUser } from '../support/xmpp-client.js'

const PASSWORD = 'pw'
const SENDER = 'alerts@stats.one.example'
const ONLINE = 'online@one.example'
const OFFLINE = ['away@one.example', 'away@two.example'] as const
const ROOM = 'ops@rooms.one.example'

async function signIn(t: TestContext, prosody: TestProsody, jid: string): Promise<XmppUser> {
  const user = await login({ port: prosody.ports.c2s, jid, password: PASSWORD })
  t.after(() => user.close())
  user.send(xml('presence'))
  return user
}

/** Removes and returns the messages that a client has received from `from`. */
async function takeMessages(user: XmppUser, from: string): Promise<Element[]> {
  // When the reply arrives, all earlier messages have arrived too.
  await user.iq('get', 'one.example', xml('ping', { xmlns: 'urn:xmpp:ping' }))
  const messages: Element[] = []
  for (;;) {
    const message = user.taken(({ name, attrs }) => name === 'message' && attrs.from === from)
    if (!message) return messages
    messages.push(message)
  }
}

const bodyOf = (message: Element) => message.getChildText('body') ?? ''
const isAboutLogins = (text: string) => /logins per minute fail on one\.example/.test(text)
const isResolution = (text: string) => /resolved/i.test(text)

/** Starts the exporter, Alertmanager that posts to the exporter, and Prometheus that sends alerts to Alertmanager. */
async function startWatching(t: TestContext, prosody: TestProsody, major: '2' | '3') {
  const alerts = { to: [ONLINE, ...OFFLINE], rooms: [ROOM] }
  const exporter = await withExporterFor(t, prosody, {
    flags: [await writeMessagingConfig(t, { alerts })],
  })
  await untilReady(exporter, 200)
  const alertmanager = await withAlertmanager(t, {
    webhook: `${exporter.url}/alerts`,
    token: ALERTS_TOKEN,
  })
  const prometheus = await withPrometheus(t, {
    major,
    jobs: [{ name: 'prosody', target: `${exporter.url}/metrics` }],
    intervalMs: 500,
    rules: shortenRules(60),
    alertmanager: alertmanager.address,
  })
  return { exporter, alertmanager, prometheus }
}

// The versions of Prosody and Prometheus in Debian 12, and the latest ones.
for (const [version, major] of [
  ['0.12.3', '2'],
  ['13.0.1', '3'],
] as const) {
  test(`an alert about failed logins, and its resolution, reach a client, a room and two offline users (Prosody ${version}, Prometheus ${major})`, async (t) => {
    const prosody = await withProsody(t, {
      version,
      users: Object.fromEntries([ONLINE, ...OFFLINE].map((jid) => [jid, PASSWORD])),
      modules: ['message', 'presence', 'offline'],
    })
    const client = await signIn(t, prosody, ONLINE)
    await openRoom(client, ROOM)
    const { exporter, alertmanager, prometheus } = await startWatching(t, prosody, major)
    const account = { port: prosody.ports.c2s, jid: ONLINE, password: 'wrong' }
    const stopFailing = repeat(t, 200, () => authenticate(account))

    const received = { client: [] as Element[], room: [] as Element[] }
    const untilLast = async (what: string, isLast: (text: string) => boolean) => {
      await until(
        async () => {
          received.client.push(...(await takeMessages(client, SENDER)))
          received.room.push(...(await takeMessages(client, `${ROOM}/alerts`)))
          return Object.values(received).every((messages) => {
            const last = messages.map(bodyOf).filter(isAboutLogins).at(-1)
            return last !== undefined && isLast(last)
          })
        },
        { what, everyMs: 250 },
      )
    }
    await untilLast('the alert reaches the client and the room', (text) => !isResolution(text))
    await stopFailing()
    await untilLast('the resolution reaches the client and the room', isResolution)
    await prometheus.stop()
    await alertmanager.stop()
    await untilLast('no later message contradicts the resolution', isResolution)

    const texts = received.client.map(bodyOf)
    assert.deepEqual(received.room.map(bodyOf), texts)
    assert.ok(received.client.every(({ attrs }) => attrs.type === 'chat'))
    assert.ok(received.room.every(({ attrs }) => attrs.type === 'groupchat'))
    for (const jid of OFFLINE) {
      const stored = await takeMessages(await signIn(t, prosody, jid), SENDER)
      assert.deepEqual(stored.map(bodyOf), texts, jid)
      const delays = stored.map((message) => message.getChild('delay', 'urn:xmpp:delay'))
      assert.ok(delays.every(Boolean), `mod_offline stored the messages to ${jid}`)
    }
    const name = 'prosody_exporter_messages_total{result="delivered"}'
    const isCounted = async () =>
      sampleValue((await exporter.get('/metrics')).text, name) === 4 * texts.length
    // A scrape can return a snapshot that is a little older than the last message.
    await until(isCounted, { what: `${name} is ${4 * texts.length}` })
  })
}
