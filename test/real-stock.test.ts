import assert from 'node:assert/strict'
import { test, type TestContext } from 'node:test'
import { until } from '../scripts/process.js'
import { withExporterFor } from './helpers/exporter.js'
import { prosodyVersions, withProsody, type ProsodyConfig } from './helpers/prosody.js'
import {
  complaints,
  evalLua,
  logLines,
  sampleValue,
  serverSamples,
  untilUp,
} from './helpers/real.js'
import { openRoom } from './helpers/rooms.js'
import { login } from './helpers/xmpp-client.js'

type Version = (typeof prosodyVersions)[number]

const STATS = 'stats.one.example'
const USERS = { 'a@one.example': 'x', 'b@one.example': 'x', 'c@two.example': 'x' }

/** A Prosody without the module, two users on its first host and one on its second. */
async function startProsody(t: TestContext, version: Version, config: ProsodyConfig = {}) {
  const prosody = await withProsody(t, {
    version,
    users: USERS,
    statsDomains: [],
    components: [
      {
        domain: STATS,
        options: { component_secret: '"secret"', component_conflict_resolve: '"kick_old"' },
      },
    ],
    ...config,
    modules: ['admin_adhoc', 'test_eval', ...(config.modules ?? [])],
  })
  const users = await Promise.all(
    Object.entries(USERS).map(([jid, password]) =>
      login({ port: prosody.ports.c2s, jid, password }),
    ),
  )
  t.after(() => Promise.all(users.map((user) => user.close())))
  return { prosody: { ...prosody, statsDomains: [STATS] }, user: users[0]! }
}

// A connection as mod_s2s keeps them, since two servers on loopback can't prove who they are.
const addS2s = (direction: string, flags: string) =>
  `local sessions = prosody.hosts["one.example"] and require "core.modulemanager".get_module("*", "s2s").module:shared "/*/s2s/sessions"
   local session = { direction = "${direction}", type = "s2sin", ${flags} }
   sessions[{}] = session
   return "done"`

const HOSTS = ['--xmpp.host=one.example', '--xmpp.host=two.example']

for (const version of prosodyVersions) {
  test(`Prosody ${version} without the module tells an admin all of the stock tier`, async (t) => {
    const { prosody, user } = await startProsody(t, version, {
      globals: { admins: `{ "${STATS}" }` },
    })
    for (const room of ['first', 'second', 'third']) {
      await openRoom(user, `${room}@${prosody.rooms}`)
    }
    const remote = (to: string) => `from_host = "far.example", to_host = "${to}"`
    await evalLua(prosody, addS2s('incoming', `${remote('one.example')}, secure = true`))
    await evalLua(prosody, addS2s('incoming', remote('one.example')))
    await evalLua(prosody, addS2s('incoming', remote('two.example')))
    await evalLua(
      prosody,
      addS2s(
        'outgoing',
        'from_host = "one.example", to_host = "far.example", secure = true, cert_identity_status = "valid", dialback_key = "x", smacks = true',
      ),
    )

    const startedBefore = Date.now() / 1000
    const exporter = await withExporterFor(t, prosody, {
      stock: true,
      flags: [...HOSTS, '--log.format=json'],
    })
    const text = await untilUp(exporter)
    const value = (sample: string) => sampleValue(text, sample)
    assert.equal(value('xmpp_online_users{host="one.example"}'), 2)
    assert.equal(value('xmpp_online_users{host="two.example"}'), 1)
    assert.equal(value('xmpp_muc_rooms{host="rooms.one.example"}'), 3)
    const s2s = (host: string, direction: string, security: string) =>
      value(`xmpp_s2s_connections{host="${host}",direction="${direction}",security="${security}"}`)
    assert.equal(s2s('one.example', 'in', 'encrypted'), 1)
    assert.equal(s2s('one.example', 'in', 'plain'), 1)
    assert.equal(s2s('one.example', 'in', 'verified'), 0)
    assert.equal(s2s('one.example', 'out', 'verified'), 1)
    assert.equal(s2s('two.example', 'in', 'plain'), 1)
    assert.equal(s2s('two.example', 'out', 'verified'), 0)
    assert.equal(value('prosody_module_loaded{host="one.example",module="admin_adhoc"}'), 1)
    assert.equal(value(`xmpp_info{host="one.example",name="Prosody",version="${version}"}`), 1)
    const types = 'category="conference",type="text"'
    assert.equal(value(`xmpp_host_info{host="rooms.one.example",${types}}`), 1)
    for (const host of ['one.example', 'two.example']) {
      const started = value(`xmpp_start_time_seconds{host="${host}"}`)!
      assert.ok(started <= startedBefore + 1 && started > startedBefore - 120, String(started))
      assert.ok(value(`xmpp_ping_seconds{host="${host}"}`)! > 0)
    }
    for (const name of ['ping', 'version', 'start_time', 'components', 'muc_rooms', 'users']) {
      assert.equal(value(`prosody_exporter_collector_success{collector="${name}"}`), 1, name)
    }
    assert.equal(value('prosody_exporter_collector_success{collector="registry"}'), 0)

    await user.close()
    await until(
      async () => {
        const answer = await exporter.get('/metrics')
        return sampleValue(answer.text, 'xmpp_online_users{host="one.example"}') === 1
      },
      { what: 'the user who left is not counted' },
    )
    assert.equal(complaints(exporter).length, 1, complaints(exporter).join('\n'))
    assert.match(
      complaints(exporter)[0]!,
      /mod_adhoc_statistics is not loaded.*--no-collector\.reg/,
    )
    assert.ok(!logLines(exporter).some(({ message }) => /only an admin may ask/.test(message)))
  })

  test(`Prosody ${version} without module and rights tells what anybody may ask, and one line says so`, async (t) => {
    const { prosody, user } = await startProsody(t, version)
    await openRoom(user, `only@${prosody.rooms}`)
    // Without `hosts`: the parent of the component's domain and what it lists.
    const exporter = await withExporterFor(t, prosody, {
      stock: true,
      flags: ['--log.format=json'],
    })
    const text = await untilUp(exporter)
    assert.equal(sampleValue(text, 'xmpp_muc_rooms{host="rooms.one.example"}'), 1)
    assert.ok(sampleValue(text, 'xmpp_ping_seconds{host="one.example"}')! > 0)
    assert.equal(sampleValue(text, 'xmpp_ping_seconds{host="two.example"}'), undefined)
    assert.doesNotMatch(text, /^(xmpp_online_users|xmpp_s2s_connections|prosody_module_loaded)/m)
    for (const name of ['users', 's2s', 'modules']) {
      const success = `prosody_exporter_collector_success{collector="${name}"}`
      assert.equal(sampleValue(text, success), 1, 'there is nobody to ask')
    }
    for (let i = 0; i < 5; i++) await exporter.get('/metrics')
    const lines = logLines(exporter).map(({ message }) => message)
    assert.equal(lines.filter((line) => /only an admin may ask/.test(line)).length, 1)
    assert.equal(complaints(exporter).length, 1, complaints(exporter).join('\n'))
    assert.equal((await exporter.get('/-/ready')).status, 200)
  })

  test(`a host that Prosody ${version} does not have is one line, and the others are told`, async (t) => {
    // Otherwise it would look for it in DNS, for as long as that takes.
    const globals = { modules_disabled: '{ "s2s" }' }
    const { prosody } = await startProsody(t, version, { globals })
    const exporter = await withExporterFor(t, prosody, {
      stock: true,
      flags: [
        ...['--xmpp.host=one.example', '--xmpp.host=typo.one.example', '--no-collector.registry'],
        '--log.format=json',
      ],
    })
    await untilUp(exporter)
    const { text } = await exporter.get('/metrics')
    assert.ok(sampleValue(text, 'xmpp_ping_seconds{host="one.example"}')! > 0)
    assert.equal(sampleValue(text, 'prosody_exporter_collector_success{collector="ping"}'), 1)
    assert.equal(sampleValue(text, 'prosody_exporter_collector_success{collector="components"}'), 0)
    assert.ok(!serverSamples(text).some((line) => line.includes('typo')))
    assert.equal(complaints(exporter).length, 1, complaints(exporter).join('\n'))
    assert.match(complaints(exporter)[0]!, /typo\.one\.example of `hosts` does not say what it is/)
  })
}
