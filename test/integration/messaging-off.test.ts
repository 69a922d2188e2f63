// Tests an exporter without the settings of alerts and chat: it has no webhook, announces and sends nothing more, and
// does not load the code of this feature.

import xml, { type Element } from '@xmpp/xml'
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { withExporterFor } from '../support/exporter.js'
import { listLoadedFiles } from '../support/loaded-files.js'
import { postNotification, writeMessagingConfig } from '../support/notifications.js'
import { prosodyVersions, withProsody } from '../support/prosody.js'
import { untilUp } from '../support/real.js'
import { startStanzaRelay } from '../support/stanza-relay.js'
import { commandElement, login } from '../support/xmpp-client.js'

const STATS = 'stats.one.example'
const NAME = 'prosody-exporter'
const DISCO_INFO = 'http://jabber.org/protocol/disco#info'
const DISCO_ITEMS = 'http://jabber.org/protocol/disco#items'
const COMMANDS = 'http://jabber.org/protocol/commands'
const STATISTICS = 'urn:prosody-exporter:statistics:1'

const feature = (name: string) => `<feature var="${name}"/>`
const info = (attrs: string, ...children: string[]) =>
  `<query xmlns="${DISCO_INFO}"${attrs}>${children.join('')}</query>`
const UNAVAILABLE =
  '<error type="cancel"><service-unavailable xmlns="urn:ietf:params:xml:ns:xmpp-stanzas"/></error>'

/** The requests of a client, and the answers that the exporter gave before it could send alerts. */
const EXCHANGES: readonly (readonly [to: string, child: Element, answer: string])[] = [
  [STATS, xml('ping', { xmlns: 'urn:xmpp:ping' }), ''],
  [
    STATS,
    xml('query', { xmlns: DISCO_INFO }),
    info(
      '',
      `<identity category="component" type="stats" name="${NAME}"/>`,
      ...[COMMANDS, DISCO_INFO, DISCO_ITEMS, 'jabber:iq:version', 'urn:xmpp:ping'].map(feature),
    ),
  ],
  [STATS, xml('query', { xmlns: DISCO_ITEMS }), `<query xmlns="${DISCO_ITEMS}"/>`],
  [
    STATS,
    xml('query', { xmlns: DISCO_ITEMS, node: COMMANDS }),
    `<query xmlns="${DISCO_ITEMS}" node="${COMMANDS}">` +
      `<item jid="${STATS}" node="${STATISTICS}" name="Statistics for Prometheus"/></query>`,
  ],
  [STATS, commandElement('status'), UNAVAILABLE],
  [`alerts@${STATS}`, xml('ping', { xmlns: 'urn:xmpp:ping' }), UNAVAILABLE],
  [`alerts@${STATS}`, xml('query', { xmlns: DISCO_INFO }), UNAVAILABLE],
]

/** Describes a stanza without the parts that differ from run to run. */
function describe({ name, attrs, ...stanza }: Element): string {
  const [child] = stanza.children.filter((each) => typeof each !== 'string')
  const { xmlns = '', node = '' } = child?.attrs ?? {}
  return [name, attrs.type, attrs.from, attrs.to, child?.name, xmlns, node].join(' ').trim()
}

for (const version of prosodyVersions) {
  test(`without settings of alerts and chat, the exporter sends the same stanzas as before (Prosody ${version})`, async (t) => {
    const user = 'user@one.example'
    const prosody = await withProsody(t, {
      version,
      users: { [user]: 'pw' },
      modules: ['message', 'presence', 'offline'],
    })
    const relay = await startStanzaRelay(t, prosody.ports.component)
    const exporter = await withExporterFor(t, { ...prosody, service: relay.service })
    await untilUp(exporter)
    const client = await login({ port: prosody.ports.c2s, jid: user, password: 'pw' })
    t.after(() => client.close())

    client.send(xml('presence'))
    for (const to of [STATS, `alerts@${STATS}`]) {
      client.send(xml('presence', { to, type: 'subscribe' }))
      client.send(xml('message', { to, type: 'chat', id: 'm' }, xml('body', {}, 'status')))
    }
    for (const [to, child] of EXCHANGES) await client.iq('get', to, child)
    await untilUp(exporter)

    const requests = relay.sent.filter(({ attrs }) => attrs.type === 'get' || attrs.type === 'set')
    assert.deepEqual(
      [...new Set(requests.map(describe))],
      [`iq set ${STATS} ${STATS} command ${COMMANDS} ${STATISTICS}`],
    )
    // Prosody changes the order of attributes, so the answers are compared as the exporter sent them.
    const answers = relay.sent.filter((stanza) => !requests.includes(stanza))
    assert.deepEqual(
      answers.map(({ name, attrs: { type, from, to }, children }) => ({
        stanza: `${name} ${type} ${from} ${to}`,
        content: children.join(''),
      })),
      EXCHANGES.map(([from, , content]) => ({
        stanza: `iq ${content === UNAVAILABLE ? 'error' : 'result'} ${from} ${client.jid}`,
        content,
      })),
    )
  })
}

test('without settings of alerts, /alerts does not exist', async (t) => {
  const prosody = await withProsody(t, { version: '13.0.1' })
  const exporter = await withExporterFor(t, prosody)
  for (const method of ['POST', 'GET', 'PUT']) {
    const { status } = await postNotification(exporter.url, '{}', { method })
    assert.equal(status, 404, method)
  }
})

test('the code for alerts and chat is loaded only with settings of them', async (t) => {
  const inMessaging = (files: readonly string[]) =>
    files.filter((file) => file.startsWith('messaging/'))
  assert.deepEqual(inMessaging(await listLoadedFiles(t, [])), [])
  const flag = await writeMessagingConfig(t, { alerts: { to: ['user@one.example'] } })
  assert.ok(inMessaging(await listLoadedFiles(t, [flag])).includes('messaging/messaging.ts'))
})
