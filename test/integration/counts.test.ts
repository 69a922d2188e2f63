import assert from 'node:assert/strict'
import { test } from 'node:test'
import xml from '@xmpp/xml'
import { until } from '../support/setup/process.js'
import {
  FIRST,
  hasSmacks,
  nonZero,
  PASSWORD,
  readCounts,
  reloadAll,
  SECOND,
  startCountedProsody as startProsody,
  type CountedProsody,
} from '../support/counted-prosody.js'
import { everyVersion, SECRET, type TestProsody } from '../support/prosody.js'
import { evalLua } from '../support/real.js'
import {
  authenticate,
  connectComponent,
  login,
  LoginError,
  type XmppStream,
  type XmppUser,
} from '../support/xmpp-client.js'

const ping = () => xml('ping', { xmlns: 'urn:xmpp:ping' })
const message = (to: string, attrs: Readonly<Record<string, string>> = {}) =>
  xml('message', { to, type: 'chat', ...attrs }, xml('body', {}, 'text'))

/** Sends a ping. The reply shows that the server has handled all earlier stanzas of the user. */
const settle = (user: XmppUser, host = user.jid.replace(/.*@|\/.*/g, '')) =>
  user.iq('get', host, ping())

for (const version of everyVersion) {
  test(`series whose labels are known in advance have the value 0 from the start of Prosody ${version}`, async (t) => {
    const prosody = await startProsody(t, version)
    const stanzas = await readCounts(prosody, 'xmpp_stanzas')
    const kinds = ['iq', 'message', 'presence']
    const expected = [
      ...prosody.hosts.flatMap((host) => [`${host} client`, `${host} server`]),
      `${prosody.rooms} server`,
      ...[FIRST, SECOND].flatMap((host) => [`${host} component`, `${host} server`]),
    ].flatMap((labels) => kinds.map((kind) => `${labels} ${kind}`))
    assert.deepEqual(Object.keys(stanzas).sort(), expected.sort())
    assert.deepEqual(nonZero(stanzas), {})
    for (const family of ['xmpp_logins', 'xmpp_login_failures']) {
      const counts = await readCounts(prosody, family)
      assert.deepEqual(nonZero(counts), {})
      for (const host of prosody.hosts) {
        for (const mechanism of ['PLAIN', 'SCRAM-SHA-1', 'SCRAM-SHA-1-PLUS']) {
          assert.equal(counts[`${host} ${mechanism}`], 0)
        }
      }
      assert.ok(!Object.keys(counts).some((labels) => labels.includes('DIGEST-MD5')))
    }
    for (const family of ['xmpp_client_connections', 'xmpp_online_users']) {
      assert.deepEqual(await readCounts(prosody, family), { 'one.example': 0, 'two.example': 0 })
    }
    for (const family of ['xmpp_muc_live_rooms', 'xmpp_muc_occupants']) {
      assert.deepEqual(await readCounts(prosody, family), { [prosody.rooms]: 0 })
    }
  })

  test(`mod_adhoc_statistics counts each login and each failed login once, by SASL mechanism (Prosody ${version})`, async (t) => {
    const prosody = await startProsody(t, version, {
      extra: 'VirtualHost "anonymous.example"\n  authentication = "anonymous"',
    })
    const { c2s: port } = prosody.ports
    const tryAll = async () => {
      for (let i = 0; i < 3; i++) {
        await (await login({ port, jid: 'a@one.example', password: PASSWORD })).close()
      }
      for (const jid of ['a@one.example', 'c@two.example', 'c@two.example']) {
        const scram = { port, jid, password: PASSWORD, mechanism: 'SCRAM-SHA-1' }
        await (await login(scram)).close()
        await assert.rejects(login({ ...scram, password: 'wrong' }), LoginError)
      }
      for (const jid of ['a@one.example', 'a@one.example', 'nobody@one.example']) {
        await assert.rejects(login({ port, jid, password: 'wrong' }), LoginError)
      }
      const nobody = { port, jid: 'nobody@one.example', password: '', mechanism: 'SCRAM-SHA-1' }
      await assert.rejects(login(nobody), LoginError)
      // Prosody rejects an unknown SASL mechanism immediately, and the module counts a failed login.
      for (const mechanism of ['DIGEST-MD5', 'MADE-UP', 'x"\\']) {
        const refused = { port, jid: 'a@one.example', password: PASSWORD, mechanism }
        await assert.rejects(login(refused), LoginError)
      }
      const anonymous = { port, jid: '@anonymous.example', password: '', mechanism: 'ANONYMOUS' }
      await (await login(anonymous)).close()
      // This client authenticates but binds no resource.
      await (await authenticate(anonymous)).close()
    }
    const expected = (times: number) => ({
      logins: {
        'one.example PLAIN': 3 * times,
        'one.example SCRAM-SHA-1': times,
        'two.example SCRAM-SHA-1': 2 * times,
        'anonymous.example ANONYMOUS': 2 * times,
      },
      failures: {
        'one.example PLAIN': 3 * times,
        'one.example SCRAM-SHA-1': 2 * times,
        'two.example SCRAM-SHA-1': 2 * times,
      },
    })
    const counted = async () => ({
      logins: nonZero(await readCounts(prosody, 'xmpp_logins')),
      failures: nonZero(await readCounts(prosody, 'xmpp_login_failures')),
    })
    await tryAll()
    assert.deepEqual(await counted(), expected(1))
    await reloadAll(prosody)
    assert.deepEqual(await counted(), expected(1))
    await tryAll()
    assert.deepEqual(await counted(), expected(2))
  })

  test(`mod_adhoc_statistics counts each stanza of a client once, with any recipient (Prosody ${version})`, async (t) => {
    const prosody = await startProsody(t, version)
    const { c2s: port } = prosody.ports
    const join = async (jid: string) => {
      const user = await login({ port, jid, password: PASSWORD })
      t.after(() => user.close())
      return user
    }
    const [a, b, c] = await Promise.all(
      ['a@one.example', 'b@one.example', 'c@two.example'].map(join),
    )
    assert.ok(a && b && c)
    // The clients have only logged in, and the module does not count the stanzas of a login.
    assert.deepEqual(nonZero(await readCounts(prosody, 'xmpp_stanzas')), {})

    const converse = async () => {
      a.send(xml('presence'))
      b.send(xml('presence'))
      await a.next(({ name }) => name === 'presence')
      await b.next(({ name }) => name === 'presence')
      await b.iq('set', 'b@one.example', xml('enable', { xmlns: 'urn:xmpp:carbons:2' }))

      // The recipients are a session, an account, another host, an unknown account, an offline account and a host.
      for (const to of [
        b.jid,
        'b@one.example',
        c.jid,
        'nobody@one.example',
        'offline@one.example',
      ]) {
        a.send(message(to))
      }
      a.send(message('one.example'))
      await c.next(({ name }) => name === 'message')
      a.send(message('x@refused.example', { id: 'refused' }))
      await a.next(({ attrs }) => attrs.id === 'refused' && attrs.type === 'error')
      c.send(message('not a jid/@'))
      c.send(message('a@one.example'))

      // A message to a room counts once, although the room sends it to three occupants.
      const room = `room@${prosody.rooms}`
      for (const user of [a, b, c]) await user.joinRoom(room, `nick-${user.jid.slice(0, 1)}`)
      a.send(message(room, { type: 'groupchat' }))
      await c.next(({ attrs }) => attrs.type === 'groupchat')
      // A private message to an occupant goes through the room.
      a.send(message(`${room}/nick-c`))
      await c.next(({ attrs }) => attrs.type === 'chat' && attrs.from === `${room}/nick-a`)

      await settle(a)
      await settle(b)
      await settle(c)
      await a.iq('get', 'rooms.one.example', ping())
      // Another client answers this iq, and the module also counts the reply.
      const asked = a.iq('get', b.jid, ping())
      const { attrs } = await b.next(({ name }) => name === 'iq')
      b.send(xml('iq', { type: 'result', to: attrs.from, id: attrs.id }))
      await asked
      if (!hasSmacks(version)) return
      // The elements of stream management (XEP-0198) are not stanzas, so the module must not count them.
      c.send("<enable xmlns='urn:xmpp:sm:3'/>")
      await c.next(({ name }) => name === 'enabled')
      c.send("<r xmlns='urn:xmpp:sm:3'/>")
      await c.next(({ name }) => name === 'a')
    }
    await converse()
    // This element has the name of a stanza but another namespace. Prosody ends the stream and the module must not count
    // the element.
    b.send("<message xmlns='urn:example:other'/>")
    await assert.rejects(b.next(() => false))
    const clients = {
      'one.example client message': 9,
      'one.example client presence': 4,
      'one.example client iq': 6,
      'two.example client message': 2,
      'two.example client presence': 1,
      'two.example client iq': 1,
    }
    assert.deepEqual(nonZero(await readCounts(prosody, 'xmpp_stanzas')), clients)

    // After a reload, the module also counts the stanzas of sessions that began before the reload.
    await reloadAll(prosody)
    a.send(message(c.jid))
    await c.next(({ name, attrs }) => name === 'message' && attrs.from === a.jid)
    assert.deepEqual(nonZero(await readCounts(prosody, 'xmpp_stanzas')), {
      ...clients,
      'one.example client message': 10,
    })

    // Prosody sends unavailable presences for clients that disconnect. The module must not count them as stanzas of the
    // clients.
    await Promise.all([a.close(), c.close()])
    assert.deepEqual(nonZero(await readCounts(prosody, 'xmpp_stanzas')), {
      ...clients,
      'one.example client message': 10,
    })
  })

  test(`mod_adhoc_statistics counts stanzas of other servers and of components once, at the receiving host (Prosody ${version})`, async (t) => {
    // The hosts have no certificates, so the two servers connect without TLS.
    const globals = { s2s_allow_encryption: 'false', s2s_secure_auth: 'false' }
    const near = await startProsody(t, version, {
      globals,
      components: [{ domain: 'gateway.example', options: { component_secret: `"${SECRET}"` } }],
    })
    const far = await startProsody(t, version, {
      globals,
      hosts: ['far.example'],
      users: { 'd@far.example': PASSWORD },
      statsDomains: ['stats.far.example'],
    })
    await evalLua(near, `prosody.test_dns_ports = { ["far.example"] = ${far.ports.s2s} }`)
    const nearPorts = ['one.example', near.rooms, 'gateway.example']
      .map((domain) => `["${domain}"] = ${near.ports.s2s}`)
      .join(', ')
    await evalLua(far, `prosody.test_dns_ports = { ${nearPorts} }`)
    const a = await login({ port: near.ports.c2s, jid: 'a@one.example', password: PASSWORD })
    const d = await login({ port: far.ports.c2s, jid: 'd@far.example', password: PASSWORD })
    const gateway = await connectComponent({
      port: near.ports.component,
      domain: 'gateway.example',
      secret: SECRET,
    })
    for (const stream of [a, d, gateway]) t.after(() => stream.close())
    const receive = async (stream: XmppStream, from: string) => {
      const { attrs } = await stream.next(({ name }) => name === 'message')
      assert.equal(attrs.from, from)
    }

    const converse = async () => {
      d.send(message(a.jid))
      await receive(a, d.jid)
      a.send(message(d.jid))
      await receive(d, a.jid)
      // The user joins a room on the other server, and the room sends presences and its subject.
      await d.joinRoom(`room@${near.rooms}`, 'nick')
      await receive(d, `room@${near.rooms}`)
      d.send(message('gateway.example'))
      await receive(gateway, d.jid)

      const from = 'someone@gateway.example'
      gateway.send(message(a.jid, { from }))
      await receive(a, from)
      gateway.send(message(d.jid, { from }))
      await receive(d, from)
      gateway.send(xml('presence', { from, to: 'a@one.example', type: 'subscribe' }))
      assert.equal((await gateway.iq('get', 'two.example', ping())).attrs.type, 'result')
      // The module must not count an iq of a component to itself, because the exporter sends such requests.
      gateway.send(xml('iq', { type: 'get', from, to: 'gateway.example', id: 'own' }, ping()))
      await gateway.next(({ attrs }) => attrs.id === 'own')
    }
    await converse()
    const incoming = async (prosody: CountedProsody) => {
      const counts = Object.entries(nonZero(await readCounts(prosody, 'xmpp_stanzas')))
      return Object.fromEntries(counts.filter(([labels]) => !labels.includes(' client ')))
    }
    const expected = (times: number) => ({
      'one.example server message': times,
      [`${near.rooms} server presence`]: times,
      'gateway.example server message': times,
      'gateway.example component message': 2 * times,
      'gateway.example component presence': times,
      'gateway.example component iq': times,
    })
    assert.deepEqual(await incoming(near), expected(1))
    const received = await incoming(far)
    assert.deepEqual(Object.keys(received).sort(), [
      'far.example server message',
      'far.example server presence',
    ])
    assert.equal(received['far.example server message'], 3)
    await reloadAll(near)
    assert.deepEqual(await incoming(near), expected(1))
    await converse()
    assert.deepEqual(await incoming(near), expected(2))
  })

  test(`the gauges of mod_adhoc_statistics have the current numbers of clients, users, rooms and occupants (Prosody ${version})`, async (t) => {
    const prosody = await startProsody(t, version)
    const { c2s: port } = prosody.ports
    const state = async () => ({
      connections: nonZero(await readCounts(prosody, 'xmpp_client_connections')),
      users: nonZero(await readCounts(prosody, 'xmpp_online_users')),
      rooms: nonZero(await readCounts(prosody, 'xmpp_muc_live_rooms')),
      occupants: nonZero(await readCounts(prosody, 'xmpp_muc_occupants')),
    })
    const nothing = { connections: {}, users: {}, rooms: {}, occupants: {} }
    assert.deepEqual(await state(), nothing)
    const [a, secondA, c, resuming] = await Promise.all(
      ['a@one.example', 'a@one.example', 'c@two.example', 'b@one.example'].map((jid) =>
        login({ port, jid, password: PASSWORD }),
      ),
    )
    assert.ok(a && secondA && c && resuming)
    await authenticate({ port, jid: 'offline@one.example', password: PASSWORD })
    await a.joinRoom(`x@${prosody.rooms}`, 'a')
    // Two clients of a user that share a nickname are one occupant.
    await secondA.joinRoom(`x@${prosody.rooms}`, 'a')
    await c.joinRoom(`x@${prosody.rooms}`, 'c')
    await a.joinRoom(`y@${prosody.rooms}`, 'a')
    const all = {
      connections: { 'one.example': 3, 'two.example': 1 },
      users: { 'one.example': 2, 'two.example': 1 },
      rooms: { [prosody.rooms]: 2 },
      occupants: { [prosody.rooms]: 3 },
    }
    assert.deepEqual(await state(), all)
    await reloadAll(prosody)
    assert.deepEqual(await state(), all)

    const canResume = hasSmacks(version)
    if (canResume) {
      resuming.send("<enable xmlns='urn:xmpp:sm:3' resume='true'/>")
      await resuming.next(({ name }) => name === 'enabled')
    }
    resuming.destroy()
    await until(async () => (await state()).connections['one.example'] === 2, {
      what: 'the number of clients does not include the closed connection',
    })
    assert.equal((await state()).users['one.example'], canResume ? 2 : 1)
    await Promise.all([a.close(), secondA.close(), c.close()])
    await until(async () => (await state()).occupants[prosody.rooms] === undefined, {
      what: 'the number of occupants does not include the clients that disconnected',
    })
    assert.deepEqual(await state(), { ...nothing, users: canResume ? { 'one.example': 1 } : {} })
  })

  test(`the numbers of accounts and the start times are those of Prosody ${version}`, async (t) => {
    const before = Math.floor(Date.now() / 1000)
    const prosody = await startProsody(t, version)
    const registered = async () => {
      const counts = await readCounts(prosody, 'xmpp_registered_users')
      return Object.keys(counts).length === 2 && counts
    }
    assert.deepEqual(await until(registered, { what: 'the numbers of accounts are exported' }), {
      'one.example': 3,
      'two.example': 1,
    })
    const started = await readCounts(prosody, 'xmpp_start_time_seconds')
    assert.deepEqual(Object.keys(started).sort(), ['one.example', prosody.rooms, 'two.example'])
    for (const time of Object.values(started)) {
      assert.ok(before <= time && time <= Date.now() / 1000, `${time}`)
    }
  })

  test(`xmpp_loop_lag_seconds contains the time for which the event loop of Prosody ${version} was blocked`, async (t) => {
    const prosody = await startProsody(t, version)
    const lag = async () => {
      const families = await prosody.families()
      const samples = families.find(({ name }) => name === 'xmpp_loop_lag_seconds')?.samples
      const value = (suffix: string) =>
        samples?.find(({ name }) => name === `xmpp_loop_lag_seconds_${suffix}`)?.value ?? NaN
      return { count: value('count'), sum: value('sum') }
    }
    await until(async () => (await lag()).count > 0, {
      what: 'the module has measured the lag of the event loop',
    })
    const before = await lag()
    // This code blocks Prosody for 1.5 s. The module measures the lag with a timer every second, so the timer is late.
    await evalLua(prosody, 'local till = os.clock() + 1.5 repeat until os.clock() > till')
    const after = await until(
      async () => {
        const now = await lag()
        return now.count > before.count && now
      },
      { what: 'the module has measured the lag of the event loop' },
    )
    assert.ok(
      after.sum - before.sum >= 0.4,
      `the lag increased by only ${after.sum - before.sum} s`,
    )
  })

  test(`adhoc_statistics_counts selects what all instances of mod_adhoc_statistics count (Prosody ${version})`, async (t) => {
    const families = async (prosody: CountedProsody) =>
      (await prosody.families())
        .map(({ name }) => name)
        .filter((name) => name.startsWith('xmpp_'))
        .sort()
    const prosody = await startProsody(t, version, {
      statsOptions: { adhoc_statistics_counts: '{ "rooms", "nonsense" }' },
    })
    assert.deepEqual(await families(prosody), ['xmpp_muc_live_rooms', 'xmpp_muc_occupants'])
    assert.match(
      prosody.log(),
      /Ignoring the unknown name "nonsense" in the option adhoc_statistics_counts/,
    )
    await prosody.restart({ statsOptions: { adhoc_statistics_counts: '{}' } })
    assert.deepEqual(await families(prosody), [])
    await evalLua(
      prosody,
      `local config = require "core.configmanager"
      config.set("${SECOND}", "adhoc_statistics_counts", { "logins" })
      assert(require "core.modulemanager".reload("${SECOND}", "adhoc_statistics"))`,
    )
    assert.deepEqual(await families(prosody), ['xmpp_login_failures', 'xmpp_logins'])
  })

  test(`after the last instance of mod_adhoc_statistics is unloaded, none of its hooks remains (Prosody ${version})`, async (t) => {
    const prosody = await startProsody(t, version)
    const user = await login({
      port: prosody.ports.c2s,
      jid: 'a@one.example',
      password: PASSWORD,
    })
    t.after(() => user.close())
    const countHooks = () =>
      evalLua(
        prosody,
        `local count = 0
        local function add(events)
          for name, handlers in pairs(events._event_map) do
            for f in pairs(handlers) do
              if debug.getinfo(f, "S").source:find("mod_adhoc_statistics/count") then count = count + 1 end
            end
          end
        end
        add(prosody.events)
        for _, host in pairs(prosody.hosts) do add(host.events) end
        for _, session in pairs(prosody.full_sessions) do
          for _, f in ipairs(session.filters["stanzas/in"] or {}) do
            if debug.getinfo(f, "S").source:find("mod_adhoc_statistics/count") then count = count + 1 end
          end
        end
        return count`,
      )
    // The module removes its hooks for the start of Prosody after the start. A reload does not add them again. So the
    // test counts the hooks after a reload.
    await reloadAll(prosody)
    const before = Number(await countHooks())
    assert.ok(before > 50, `the module has only ${before} hooks`)
    await reloadAll(prosody)
    assert.equal(Number(await countHooks()), before)
    await evalLua(
      prosody,
      `local mm = require "core.modulemanager"
      assert(mm.unload("${FIRST}", "adhoc_statistics"))`,
    )
    assert.ok(Number(await countHooks()) > 50)
    await evalLua(
      prosody,
      `assert(require "core.modulemanager".unload("${SECOND}", "adhoc_statistics"))`,
    )
    assert.equal(Number(await countHooks()), 0)
    await settle(user)
  })
}
