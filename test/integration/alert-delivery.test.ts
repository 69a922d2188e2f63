// Tests that alerts posted to the exporter arrive at people and in rooms of real Prosody servers, and that the exporter
// answers 200 only then.

import assert from 'node:assert/strict'
import { once } from 'node:events'
import { writeFile } from 'node:fs/promises'
import { connect, createServer, type Socket } from 'node:net'
import { join } from 'node:path'
import { describe, test, type TestContext } from 'node:test'
import xml, { type Element } from '@xmpp/xml'
import { withExporter, withExporterFor, type RunningExporter } from '../support/exporter.js'
import { prosodyVersions, withProsody, type TestProsody } from '../support/prosody.js'
import { complaints, evalLua, sampleValue, untilReady } from '../support/real.js'
import { openRoom } from '../support/rooms.js'
import { freePort, until } from '../support/setup/process.js'
import { alertmanagerAlert, alertmanagerPayload } from '../support/webhook-payloads.js'
import { login, type XmppUser } from '../support/xmpp-client.js'

const ADDRESS = 'alerts@stats.one.example'
const ADMIN = 'admin@one.example'
const OWNER = 'owner@one.example'
const OFFLINE = 'offline@one.example'
const ROOM = 'ops@rooms.one.example'
const PASSWORD = 'pw'
const TOKEN = 'correct-horse-battery-staple'

type Alerts = {
  readonly to?: readonly string[]
  readonly rooms?: readonly string[]
  readonly nick?: string
}

function startProsody(t: TestContext, version: (typeof prosodyVersions)[number]) {
  return withProsody(t, {
    version,
    users: { [ADMIN]: PASSWORD, [OWNER]: PASSWORD, [OFFLINE]: PASSWORD },
    modules: ['test_eval'],
  })
}

async function writeConfig(
  prosody: TestProsody,
  { to = [], rooms = [], nick = 'alerts' }: Alerts,
  others: Readonly<Record<string, unknown>> = {},
) {
  const alerts = { to, rooms, nick, token_file: join(prosody.dir, 'token') }
  await writeFile(alerts.token_file, TOKEN, { mode: 0o600 })
  const file = join(prosody.dir, 'exporter.yml')
  // JSON is YAML.
  await writeFile(file, JSON.stringify({ ...others, alerts }))
  return file
}

async function startExporter(
  t: TestContext,
  prosody: TestProsody,
  alerts: Alerts,
  service = prosody.service,
): Promise<RunningExporter> {
  const file = await writeConfig(prosody, alerts)
  const exporter = await withExporterFor(
    t,
    { ...prosody, service, secret: prosody.secret, statsDomains: prosody.statsDomains },
    { flags: ['--log.format=json', '--log.level=debug', `--config.file=${file}`] },
  )
  await untilReady(exporter, 200)
  return exporter
}

async function logIn(t: TestContext, prosody: TestProsody, jid: string): Promise<XmppUser> {
  const user = await login({ port: prosody.ports.c2s, jid, password: PASSWORD })
  t.after(() => user.close())
  user.send(xml('presence'))
  await user.next((stanza) => stanza.is('presence') && stanza.attrs.from === user.jid)
  return user
}

/** Posts a notification to the exporter. `name` is the name of its alert, and identifies it. */
async function post(
  exporter: RunningExporter,
  name: string,
  status: 'firing' | 'resolved' = 'firing',
): Promise<{ status: number; text: string }> {
  const labels = { alertname: name, severity: 'critical' }
  const response = await fetch(`${exporter.url}/alerts`, {
    method: 'POST',
    headers: { Authorization: `Bearer ${TOKEN}`, 'Content-Type': 'application/json' },
    body: JSON.stringify(
      alertmanagerPayload({
        status,
        groupKey: `{}:{alertname="${name}"}`,
        alerts: [alertmanagerAlert({ status, labels, fingerprint: name })],
      }),
    ),
  })
  return { status: response.status, text: (await response.text()).trim() }
}

type Answer = Awaited<ReturnType<typeof post>>

const accepted = (delivered: number, rejected = 0): Answer => ({
  status: 200,
  text: JSON.stringify({ delivered, rejected }),
})

/** Checks the answer if all recipients have rejected the notification. */
const refused = (recipients: number, reason: RegExp) => (answer: Answer) =>
  answer.status === 503 &&
  answer.text.startsWith(`Not delivered to ${recipients} of ${recipients} recipients: `) &&
  reason.test(answer.text)

/** Posts notifications with different names, until the exporter answers the expected response. */
async function untilPosted(
  exporter: RunningExporter,
  name: string,
  expected: Answer | ReturnType<typeof refused>,
) {
  const isExpected =
    typeof expected === 'function'
      ? expected
      : (answer: Answer) => answer.status === expected.status && answer.text === expected.text
  let count = 0
  await until(async () => isExpected(await post(exporter, `${name}-${++count}`)), {
    what: `a notification gets the expected response (${name})`,
    everyMs: 500,
  })
}

const isText = (stanza: Element) =>
  stanza.is('message') && stanza.getChild('body') !== undefined && stanza.attrs.type !== 'error'

async function nextText(user: XmppUser): Promise<Element> {
  return await user.next(isText)
}

/** Waits until the exporter exports this value. A scrape can get a snapshot that is older than an event. */
const untilExported = (exporter: RunningExporter, sample: string, value: number) =>
  until(async () => sampleValue((await exporter.get('/metrics')).text, sample) === value, {
    what: `the exporter exports ${sample} ${value}`,
  })

const untilInRoom = (exporter: RunningExporter) =>
  untilExported(exporter, 'prosody_exporter_rooms{state="joined"}', 1)

const untilLogged = (exporter: RunningExporter, pattern: RegExp) =>
  until(() => complaints(exporter).some((line) => pattern.test(line)), {
    what: `the log has ${pattern.source}`,
  })

/** Changes the role or the affiliation of the exporter in a room. */
async function administer(owner: XmppUser, attrs: Record<string, string>, room = ROOM) {
  const query = xml('query', { xmlns: 'http://jabber.org/protocol/muc#admin' }, xml('item', attrs))
  const reply = await owner.iq('set', room, query)
  assert.equal(reply.attrs.type, 'result', reply.toString())
}

async function destroyRoom(owner: XmppUser) {
  const query = xml('query', { xmlns: 'http://jabber.org/protocol/muc#owner' }, xml('destroy'))
  assert.equal((await owner.iq('set', ROOM, query)).attrs.type, 'result')
}

async function reload(exporter: RunningExporter) {
  exporter.kill('SIGHUP')
  await until(() => exporter.stderr().includes('configuration reloaded'), { what: 'a reload' })
}

const countOccupants = async (prosody: TestProsody) =>
  Number(
    await evalLua(
      prosody,
      `local room = prosody.hosts["${prosody.rooms}"].modules.muc.get_room_from_jid("${ROOM}")
      local count = 0
      for _ in room:each_occupant() do count = count + 1 end
      return count`,
    ),
  )

/** Whether the exporter has left the room. */
const isDeparture = ({ name, attrs }: Element) =>
  name === 'presence' && attrs.type === 'unavailable' && attrs.from === `${ROOM}/alerts`

const breakStream = (prosody: TestProsody) =>
  evalLua(
    prosody,
    `for _, session in pairs(module:context("*"):shared("/*/component/sessions")) do session:close() end`,
  )

/**
 * Starts a relay to Prosody's component port that cuts the stream once, at the first message of the exporter after `arm`
 * was called: before the message, or after it and before the ping that follows it. After `refuse`, the relay accepts no
 * connections until `accept` is called.
 */
async function startRelay(t: TestContext, port: number) {
  let cut: 'before' | 'after' | undefined
  let isRefusing = false
  const clients = new Set<Socket>()
  const server = createServer((client) => {
    if (isRefusing) {
      client.destroy()
      return
    }
    clients.add(client)
    const upstream = connect(port, '127.0.0.1')
    for (const socket of [client, upstream]) {
      socket.on('error', () => undefined)
      socket.on('close', () => {
        client.destroy()
        upstream.end()
      })
    }
    upstream.pipe(client)
    client.on('data', (chunk) => {
      const text = String(chunk)
      if (cut === undefined || !text.includes('<message')) {
        upstream.write(chunk)
        return
      }
      const end = cut === 'before' ? text.indexOf('<message') : text.indexOf('</message>') + 10
      cut = undefined
      upstream.write(text.slice(0, end))
      client.destroy()
    })
  })
  const relayPort = await freePort()
  server.listen(relayPort, '127.0.0.1')
  await once(server, 'listening')
  t.after(() => server.close())
  return {
    service: `xmpp://127.0.0.1:${relayPort}`,
    arm: (at: 'before' | 'after') => {
      cut = at
    },
    isArmed: () => cut !== undefined,
    refuse: () => {
      isRefusing = true
    },
    accept: () => {
      isRefusing = false
    },
    /** Ends all connections. */
    disconnect: () => {
      for (const client of clients) client.destroy()
      clients.clear()
    },
  }
}

for (const version of prosodyVersions) {
  describe(`alerts with Prosody ${version}`, { concurrency: 2 }, () => {
    test('an alert and its resolution reach a client, a room, and an offline user at the next login', async (t) => {
      const prosody = await startProsody(t, version)
      const [admin, owner] = [await logIn(t, prosody, ADMIN), await logIn(t, prosody, OWNER)]
      await openRoom(owner, ROOM)
      const exporter = await startExporter(t, prosody, { to: [ADMIN, OFFLINE], rooms: [ROOM] })
      await untilInRoom(exporter)

      assert.deepEqual(await post(exporter, 'Full'), accepted(3))
      const message = await nextText(admin)
      assert.equal(message.attrs.from, ADDRESS)
      assert.equal(message.attrs.type, 'chat')
      assert.match(message.getChildText('body')!, /^CRITICAL: /)
      assert.ok(message.getChild('request', 'urn:xmpp:receipts'))
      assert.equal(message.getChild('origin-id')?.attrs.id, message.attrs.id)
      const inRoom = await nextText(owner)
      assert.equal(inRoom.attrs.from, `${ROOM}/alerts`)
      assert.equal(inRoom.attrs.id, inRoom.getChild('origin-id')?.attrs.id, 'the room keeps the id')
      assert.match(inRoom.getChildText('body')!, /^CRITICAL: /)

      // A retry sends nothing, so the next message is the resolution.
      assert.deepEqual(await post(exporter, 'Full'), accepted(3))
      assert.deepEqual(await post(exporter, 'Full', 'resolved'), accepted(3))
      for (const user of [admin, owner]) {
        assert.match((await nextText(user)).getChildText('body')!, /^RESOLVED: /)
      }
      const offline = await logIn(t, prosody, OFFLINE)
      for (const text of [/^CRITICAL: /, /^RESOLVED: /]) {
        const stored = await nextText(offline)
        assert.match(stored.getChildText('body')!, text)
        assert.ok(stored.getChild('delay', 'urn:xmpp:delay'))
      }
      // Alertmanager can resolve an alert that still fires. Then it fires again, with the same start.
      assert.deepEqual(await post(exporter, 'Full'), accepted(3))
      for (const user of [admin, owner, offline]) {
        assert.match((await nextText(user)).getChildText('body')!, /^CRITICAL: /)
      }
      await untilExported(exporter, 'prosody_exporter_messages_total{result="delivered"}', 9)
      assert.deepEqual(complaints(exporter), [])
    })

    test('an unknown user is rejected with one log line, and the others receive the alerts', async (t) => {
      const prosody = await startProsody(t, version)
      const admin = await logIn(t, prosody, ADMIN)
      const exporter = await startExporter(t, prosody, { to: ['nobody@one.example', ADMIN] })
      for (const name of ['One', 'Two']) {
        assert.deepEqual(await post(exporter, name), accepted(1, 1))
        await nextText(admin)
      }
      const lines = complaints(exporter)
      assert.equal(lines.length, 1, lines.join('\n'))
      assert.match(lines[0]!, /recipient 1 of alerts\.to: there is no such user/)
      await untilExported(exporter, 'prosody_exporter_messages_total{result="rejected"}', 2)
    })

    test('an alert that all recipients reject is not accepted, until one of them receives it', async (t) => {
      const prosody = await startProsody(t, version)
      const exporter = await startExporter(t, prosody, { to: ['new@one.example'] })
      for (let i = 0; i < 2; i++) {
        const answer = await post(exporter, 'Full')
        assert.ok(refused(1, /there is no such user/)(answer), answer.text)
      }
      await untilExported(exporter, 'prosody_exporter_messages_total{result="rejected"}', 1)
      await untilExported(exporter, 'prosody_exporter_unreached_recipients', 1)

      await evalLua(
        prosody,
        `assert(require "core.usermanager".create_user("new", "${PASSWORD}", "one.example"))`,
      )
      assert.deepEqual(await post(exporter, 'Full'), accepted(1))
      await nextText(await logIn(t, prosody, 'new@one.example'))
      await untilExported(exporter, 'prosody_exporter_unreached_recipients', 0)
    })

    test('the exporter joins a room again after a kick, a lost stream, a lost occupant and a restart', async (t) => {
      const prosody = await startProsody(t, version)
      const owner = await logIn(t, prosody, OWNER)
      await openRoom(owner, ROOM, { 'muc#roomconfig_persistentroom': '1' })
      const exporter = await startExporter(t, prosody, { rooms: [ROOM] })
      await untilInRoom(exporter)

      await administer(owner, { nick: 'alerts', role: 'none' })
      await untilLogged(exporter, /moderator has removed/)
      await untilPosted(exporter, 'kick', accepted(1))
      await breakStream(prosody)
      await untilPosted(exporter, 'stream', accepted(1))
      // The room forgets the exporter silently. The exporter learns it from the error for its next message.
      await evalLua(
        prosody,
        `local room = prosody.hosts["${prosody.rooms}"].modules.muc.get_room_from_jid("${ROOM}")
        local occupant = room:get_occupant_by_nick("${ROOM}/alerts")
        occupant.role = nil
        room:save_occupant(occupant)`,
      )
      const answer = await post(exporter, 'forgotten')
      assert.equal(answer.status, 503)
      assert.match(answer.text, /the room answered that the exporter is not in it/)
      await untilPosted(exporter, 'rejoined', accepted(1))
      await prosody.restart()
      await untilPosted(exporter, 'restart', accepted(1))
    })

    test('a room that bans the exporter rejects alerts until the ban is removed', async (t) => {
      const prosody = await startProsody(t, version)
      const owner = await logIn(t, prosody, OWNER)
      await openRoom(owner, ROOM)
      const exporter = await startExporter(t, prosody, { rooms: [ROOM] })
      await untilInRoom(exporter)

      await administer(owner, { jid: ADDRESS, affiliation: 'outcast' })
      await untilPosted(exporter, 'ban', refused(1, /the room has banned the exporter/))
      await administer(owner, { jid: ADDRESS, affiliation: 'none' })
      await untilPosted(exporter, 'unban', accepted(1))
    })

    test('a destroyed room rejects alerts until it is created again, and the exporter does not create it', async (t) => {
      const prosody = await startProsody(t, version)
      const owner = await logIn(t, prosody, OWNER)
      await openRoom(owner, ROOM)
      const exporter = await startExporter(t, prosody, { rooms: [ROOM] })
      await untilInRoom(exporter)

      await destroyRoom(owner)
      await untilPosted(exporter, 'destroyed', refused(1, /the room was destroyed/))
      const info = xml('query', { xmlns: 'http://jabber.org/protocol/disco#info' })
      assert.equal((await owner.iq('get', ROOM, info)).attrs.type, 'error')
      await openRoom(owner, ROOM)
      await untilPosted(exporter, 'created', accepted(1))
    })

    test('each reason why the exporter cannot join a room is one log line with the remedy', async (t) => {
      const prosody = await startProsody(t, version)
      const [admin, owner] = [await logIn(t, prosody, ADMIN), await logIn(t, prosody, OWNER)]
      const room = (name: string) => `${name}@rooms.one.example`
      await openRoom(owner, room('password'), { 'muc#roomconfig_roomsecret': 'x' })
      await openRoom(owner, room('members'), { 'muc#roomconfig_membersonly': '1' })
      await openRoom(owner, room('banned'))
      await administer(owner, { jid: ADDRESS, affiliation: 'outcast' }, room('banned'))
      await openRoom(owner, room('taken'))
      await admin.joinRoom(room('taken'), 'alerts')
      await owner.joinRoom(room('locked'), 'me')
      await openRoom(owner, room('moderated'), { 'muc#roomconfig_moderatedroom': '1' })
      const names = ['password', 'members', 'banned', 'taken', 'locked', 'missing', 'moderated']
      const rooms = [...names.map(room), 'admin@one.example']
      const exporter = await startExporter(t, prosody, { rooms })
      await untilPosted(exporter, 'all', refused(8, /the room has a password/))
      const expected = [
        /room 1 of alerts\.rooms: the room has a password/,
        /room 2 of alerts\.rooms: the room is members-only/,
        /room 3 of alerts\.rooms: the room has banned/,
        /room 4 of alerts\.rooms: the nickname is taken/,
        /room 5 of alerts\.rooms: .* has not yet saved its configuration/,
        /room 6 of alerts\.rooms: the room does not exist/,
        /deliver alerts to room 7 of alerts\.rooms: .*Grant voice/,
        /room 8 of alerts\.rooms: the address is not a room/,
      ]
      const lines = complaints(exporter)
      for (const pattern of expected) {
        assert.equal(
          lines.filter((line) => pattern.test(line)).length,
          1,
          `${pattern.source}\n${lines.join('\n')}`,
        )
      }
      // The attempt to join has not created the room that does not exist.
      const info = xml('query', { xmlns: 'http://jabber.org/protocol/disco#info' })
      assert.equal((await owner.iq('get', room('missing'), info)).attrs.type, 'error')
      assert.doesNotMatch(lines.join(), /password@|members@|admin@/)
    })

    test('when the stream is cut between a message and the ping after it, the alert is repeated', async (t) => {
      const prosody = await startProsody(t, version)
      const admin = await logIn(t, prosody, ADMIN)
      const relay = await startRelay(t, prosody.ports.component)
      const exporter = await startExporter(t, prosody, { to: [ADMIN] }, relay.service)
      const untilDelivered = (name: string) =>
        until(async () => (await post(exporter, name)).status === 200, {
          what: 'the repeated alert is delivered',
        })

      relay.arm('before')
      const lost = await post(exporter, 'Lost')
      assert.equal(lost.status, 503, lost.text)
      assert.equal(relay.isArmed(), false)
      await untilDelivered('Lost')
      await nextText(admin)

      relay.arm('after')
      assert.equal((await post(exporter, 'Unconfirmed')).status, 503)
      await untilDelivered('Unconfirmed')
      const first = await nextText(admin)
      const second = await nextText(admin)
      assert.equal(second.attrs.id, first.attrs.id, 'a client can recognize the duplicate')

      // There were no further duplicates: the next message is the next alert.
      await untilDelivered('Next')
      const next = await nextText(admin)
      assert.notEqual(next.attrs.id, first.attrs.id)
      assert.equal(admin.taken(isText), undefined)
    })

    test('without a connection to Prosody, the alert is not accepted', async (t) => {
      const prosody = await startProsody(t, version)
      const exporter = await startExporter(t, prosody, { to: [OFFLINE], rooms: [ROOM] })
      await prosody.stop()
      await untilReady(exporter, 503)
      const answer = await post(exporter, 'Down')
      assert.equal(answer.status, 503)
      assert.match(answer.text, /Not delivered to 2 of 2 recipients/)
    })

    test('a room that a reload removes while the exporter is not connected is left after the next login', async (t) => {
      const prosody = await startProsody(t, version)
      const owner = await logIn(t, prosody, OWNER)
      await openRoom(owner, ROOM)
      const relay = await startRelay(t, prosody.ports.component)
      const exporter = await startExporter(t, prosody, { rooms: [ROOM] }, relay.service)
      await untilInRoom(exporter)

      relay.refuse()
      relay.disconnect()
      await untilExported(exporter, 'prosody_exporter_rooms{state="joined"}', 0)
      await writeConfig(prosody, { to: [OFFLINE] })
      await reload(exporter)
      // Prosody does not remove the occupant of a component that is not connected.
      const occupants = await countOccupants(prosody)
      assert.equal(occupants, 2)
      relay.accept()
      await owner.next(isDeparture)
      assert.equal(await countOccupants(prosody), 1)
    })

    test('a reload that changes the domain of the component leaves the room before it joins with the new address', async (t) => {
      const prosody = await startProsody(t, version)
      const owner = await logIn(t, prosody, OWNER)
      await openRoom(owner, ROOM)
      const secretFile = join(prosody.dir, 'component-secret')
      await writeFile(secretFile, prosody.secret, { mode: 0o600 })
      const configure = (domain: string) => {
        const server = { name: 'a', service: prosody.service, domain, secret_file: secretFile }
        return writeConfig(prosody, { rooms: [ROOM] }, { servers: [server] })
      }
      const [domain, other] = prosody.statsDomains
      const exporter = await withExporter(t, {
        flags: ['--log.format=json', `--config.file=${await configure(domain!)}`],
      })
      await untilReady(exporter, 200)
      await untilInRoom(exporter)

      await configure(other!)
      await reload(exporter)
      await untilPosted(exporter, 'Moved', accepted(1))
      assert.ok(owner.taken(isDeparture))
      const text = await nextText(owner)
      assert.equal(text.attrs.from, `${ROOM}/alerts`)
      assert.equal(await countOccupants(prosody), 2)
      assert.deepEqual(complaints(exporter), [])
    })

    test('a reload changes the recipients, and the exporter leaves its rooms when it stops', async (t) => {
      const prosody = await startProsody(t, version)
      const [admin, owner] = [await logIn(t, prosody, ADMIN), await logIn(t, prosody, OWNER)]
      await openRoom(owner, ROOM)
      const exporter = await startExporter(t, prosody, { to: [OFFLINE] })
      await writeConfig(prosody, { to: [ADMIN], rooms: [ROOM], nick: 'bot' })
      exporter.kill('SIGHUP')
      await untilInRoom(exporter)
      assert.deepEqual(await post(exporter, 'Reloaded'), accepted(2))
      await nextText(admin)
      assert.equal((await nextText(owner)).attrs.from, `${ROOM}/bot`)

      // A reload that changes the limits also replaces the connection to Prosody.
      await writeConfig(prosody, { rooms: [ROOM], nick: 'bot' }, { limits: { series: 5000 } })
      exporter.kill('SIGHUP')
      await until(() => exporter.stderr().split('connected to Prosody as').length === 3, {
        what: 'the exporter has connected a second time',
      })
      await untilPosted(exporter, 'replaced', accepted(1))
      await exporter.stop()
      await owner.next(
        ({ name, attrs }) =>
          name === 'presence' && attrs.type === 'unavailable' && attrs.from === `${ROOM}/bot`,
      )
    })
  })
}
