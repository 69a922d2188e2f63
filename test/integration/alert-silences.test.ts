// Tests that an allowed person silences an alert in chat: the real Alertmanager stores the silence with its author, and
// sends the alert again after the silence has ended.

import xml, { type Element } from '@xmpp/xml'
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { withAlertmanager } from '../support/alertmanager.js'
import { withExporterFor } from '../support/exporter.js'
import { createFakeChat } from '../support/fake-chat.js'
import { ALERTS_TOKEN, writeMessagingConfig } from '../support/notifications.js'
import { prosodyVersions, withProsody } from '../support/prosody.js'
import { untilReady } from '../support/real.js'
import { freePort, until } from '../support/setup/process.js'
import { login, type XmppUser } from '../support/xmpp-client.js'

const SENDER = 'alerts@stats.one.example'
const ADMIN = 'admin@one.example'
const OTHER = 'other@one.example'

async function nextText(user: XmppUser, pattern: RegExp): Promise<string> {
  const isMatch = (text: string | null) => pattern.test(text ?? '')
  const message = await user.next(
    (stanza) =>
      stanza.name === 'message' &&
      stanza.attrs.from?.split('/')[0] === SENDER &&
      isMatch(stanza.getChildText('body')),
  )
  return message.getChildText('body') ?? ''
}

const say = (user: XmppUser, text: string) => {
  user.send(xml('message', { to: SENDER, type: 'chat' }, xml('body', {}, text)))
}

/** Sends a command, and confirms it with the code in the answer. */
async function command(user: XmppUser, text: string): Promise<void> {
  say(user, text)
  const [, code = ''] = /yes (\d+)/.exec(await nextText(user, /yes \d+/)) ?? []
  say(user, `yes ${code}`)
}

for (const version of prosodyVersions) {
  test(`only an allowed person silences an alert in chat and ends the silence (Prosody ${version})`, async (t) => {
    const password = 'pw'
    const prosody = await withProsody(t, {
      version,
      users: { [ADMIN]: password, [OTHER]: password },
      modules: ['message', 'presence', 'offline'],
      // A server admin is not allowed either, unless the exporter's configuration says so.
      globals: { admins: `{ "${OTHER}" }` },
    })
    const signIn = async (jid: string) => {
      const user = await login({ port: prosody.ports.c2s, jid, password })
      t.after(() => user.close())
      user.send(xml('presence'))
      return user
    }
    const [admin, other] = [await signIn(ADMIN), await signIn(OTHER)]
    // Alertmanager and the exporter need the port of each other.
    const port = await freePort()
    const alertmanager = await withAlertmanager(t, {
      webhook: `http://127.0.0.1:${port}/alerts`,
      token: ALERTS_TOKEN,
    })
    const settings = {
      alerts: { to: [ADMIN] },
      chat: { allow: [ADMIN] },
      alertmanager: { url: alertmanager.url },
    }
    const flags = [await writeMessagingConfig(t, settings)]
    const exporter = await withExporterFor(t, prosody, { port, flags })
    await untilReady(exporter, 200)

    const alert = {
      labels: { alertname: 'TestDisk' },
      annotations: { summary: 'The disk is full.' },
    }
    await alertmanager.post([alert])
    await nextText(admin, /The disk is full\./)

    say(other, 'silence TestDisk 2h')
    await command(admin, 'silence TestDisk 2h')
    const [silence] = await until(
      async () => {
        const found = await alertmanager.silences()
        return found.length > 0 && found
      },
      { what: 'Alertmanager has the silence' },
    )
    assert.deepEqual(silence?.matchers, [
      { name: 'alertname', value: 'TestDisk', isRegex: false, isEqual: true },
    ])
    assert.match(`${silence.createdBy} ${silence.comment}`, /admin@one\.example/)
    const hours = (Date.parse(silence.endsAt) - Date.parse(silence.startsAt)) / 3_600_000
    assert.ok(Math.abs(hours - 2) < 0.05, `the silence lasts ${hours} hours`)
    assert.equal((await alertmanager.silences()).length, 1)
    await other.iq('get', 'one.example', xml('ping', { xmlns: 'urn:xmpp:ping' }))
    assert.equal(
      other.taken(({ name }) => name === 'message'),
      undefined,
      'the exporter does not answer people who are not allowed',
    )

    // Alertmanager does not send another alert of the same name, until the silence has ended.
    const again = { ...alert, labels: { ...alert.labels, disk: 'b' } }
    await alertmanager.post([again])
    assert.deepEqual(await alertmanager.states(), ['suppressed', 'suppressed'])
    const isAlert = (stanza: Element) =>
      /The disk is full\./.test(stanza.getChildText('body') ?? '')
    await admin.iq('get', 'one.example', xml('ping', { xmlns: 'urn:xmpp:ping' }))
    assert.equal(admin.taken(isAlert), undefined, 'a silenced alert is not sent')
    await command(admin, 'unsilence TestDisk')
    await until(
      async () => (await alertmanager.silences()).every(({ status }) => status.state === 'expired'),
      { what: 'the silence has ended' },
    )
    await alertmanager.post([alert, again])
    await nextText(admin, /The disk is full\./)
  })
}

test('if the response of Alertmanager is lost, the repeated code creates no second silence', async (t) => {
  const alertmanager = await withAlertmanager(t, {
    webhook: 'http://127.0.0.1:9/alerts',
    token: ALERTS_TOKEN,
  })
  let isLost = true
  const { ask } = createFakeChat({
    alertmanager: alertmanager.url,
    wallTime: Date.now,
    async fetch(...args) {
      const response = await fetch(...args)
      if (args[1]?.method !== 'POST' || !isLost) return response
      isLost = false
      throw new TypeError('the connection was closed')
    },
  })
  const [, code = ''] = /yes (\d+)/.exec(await ask('silence TestDisk 2h')) ?? []
  assert.match(await ask(`yes ${code}`), /It is unknown whether/)
  assert.match(await ask(`yes ${code}`), /^Silenced TestDisk/)
  assert.equal(isLost, false)
  assert.equal((await alertmanager.silences()).length, 1)
})
