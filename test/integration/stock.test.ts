import assert from 'node:assert/strict'
import { test, type TestContext } from 'node:test'
import { until } from '../support/setup/process.js'
import { COLLECTORS } from '../../src/collectors/index.js'
import { withExporterFor } from '../support/exporter.js'
import { everyVersion, withProsody, type ProsodyConfig, type Version } from '../support/prosody.js'
import { complaints, logLines, sampleValue, serverSamples, untilUp } from '../support/real.js'
import { openRoom } from '../support/rooms.js'
import { startTap } from '../support/tap.js'
import { login } from '../support/xmpp-client.js'

const STATS = 'stats.one.example'
const USERS = { 'a@one.example': 'x', 'b@one.example': 'x', 'c@two.example': 'x' }

/** Starts a Prosody without mod_adhoc_statistics. Two users log in on its first host, and one on its second host. */
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
    modules: ['admin_adhoc', ...(config.modules ?? [])],
  })
  const users = await Promise.all(
    Object.entries(USERS).map(([jid, password]) =>
      login({ port: prosody.ports.c2s, jid, password }),
    ),
  )
  t.after(() => Promise.all(users.map((user) => user.close())))
  return { prosody: { ...prosody, statsDomains: [STATS] }, user: users[0]! }
}

const isForEjabberd = (name: string) => name.startsWith('ejabberd_')
const ON_BY_DEFAULT = COLLECTORS.filter(({ isOn }) => isOn).map(({ name }) => name)
const HOSTS = ['--xmpp.host=one.example', '--xmpp.host=two.example']

/** The collectors that do nothing with a Prosody on which the exporter is no admin. */
const IDLE = COLLECTORS.filter(({ adminCommand }) => adminCommand !== undefined)
  .map(({ name }) => name)
  .concat(ON_BY_DEFAULT.filter(isForEjabberd))

/** Returns 1 if a collector succeeded, 0 if it failed, and `undefined` if it did not run. */
const success = (text: string, name: string) =>
  sampleValue(text, `prosody_exporter_collector_success{collector="${name}"}`)

for (const version of everyVersion) {
  test(`with a Prosody ${version} with default settings, the exporter has few metrics about itself, and none about collectors that do not run`, async (t) => {
    const prosody = await withProsody(t, { version })
    const exporter = await withExporterFor(t, prosody, { stock: true })
    const text = await until(
      async () => {
        const { text } = await exporter.get('/metrics')
        // Before 0.12, Prosody has no statistics until its first collection.
        return success(text, 'registry') === 1 && text
      },
      { what: 'the exposition contains the statistics registry' },
    )
    const own = text.split('\n').filter((line) => line.startsWith('prosody_exporter_'))
    assert.ok(
      own.length <= 35,
      `the exporter has ${own.length} series about itself:\n${own.join('\n')}`,
    )
    for (const name of ON_BY_DEFAULT) {
      const expected = IDLE.includes(name) ? [] : ['duration_seconds', 'success']
      assert.deepEqual(
        own
          .map((line) => /_collector_(\w+)\{collector="(\w+)"/.exec(line))
          .filter((match) => match?.[2] === name)
          .map((match) => match![1]),
        expected,
        name,
      )
    }
  })

  test(`without mod_adhoc_statistics, an exporter with admin rights exports all statistics that Prosody ${version} provides`, async (t) => {
    const before = Math.floor(Date.now() / 1000)
    const { prosody, user } = await startProsody(t, version, {
      globals: { admins: `{ "${STATS}" }` },
    })
    for (const room of ['first', 'second', 'third']) {
      await openRoom(user, `${room}@${prosody.rooms}`)
    }
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
    // No other server is connected here, so all counts are 0. s2s.test.ts tests counts above 0.
    const s2s = serverSamples(text).filter((line) => line.startsWith('xmpp_s2s_connections'))
    assert.equal(s2s.length, 2 * 3 * HOSTS.length)
    assert.ok(s2s.every((line) => line.endsWith(' 0')))
    assert.equal(value('prosody_module_loaded{host="one.example",module="admin_adhoc"}'), 1)
    const types = 'category="conference",type="text"'
    assert.equal(value(`xmpp_host_info{host="rooms.one.example",${types}}`), 1)
    for (const host of prosody.hosts) {
      assert.equal(value(`xmpp_info{host="${host}",name="Prosody",version="${version}"}`), 1)
      assert.equal(value(`xmpp_host_info{host="${host}",category="server",type="im"}`), 1)
      const started = value(`xmpp_start_time_seconds{host="${host}"}`)!
      assert.ok(started <= startedBefore + 1 && started >= before - 1, String(started))
      assert.ok(value(`xmpp_ping_seconds{host="${host}"}`)! > 0)
    }
    for (const name of ON_BY_DEFAULT.filter((name) => !isForEjabberd(name))) {
      assert.equal(success(text, name), name === 'registry' ? 0 : 1, name)
    }

    await user.close()
    await until(
      async () => {
        const answer = await exporter.get('/metrics')
        return sampleValue(answer.text, 'xmpp_online_users{host="one.example"}') === 1
      },
      { what: 'the number of online users does not include the user who logged out' },
    )
    assert.equal(complaints(exporter).length, 1, complaints(exporter).join('\n'))
    assert.match(
      complaints(exporter)[0]!,
      /mod_adhoc_statistics is not loaded.*--no-collector\.reg/,
    )
    assert.ok(!logLines(exporter).some(({ message }) => /for admins only/.test(message)))
  })

  test(`without mod_adhoc_statistics, an exporter with admin rights on one VirtualHost of Prosody ${version} exports all statistics of that host`, async (t) => {
    const { prosody } = await startProsody(t, version, {
      extra: `VirtualHost "one.example"\n  admins = { "${STATS}" }`,
    })
    const exporter = await withExporterFor(t, prosody, {
      stock: true,
      flags: [...HOSTS, '--no-collector.registry', '--log.format=json'],
    })
    const text = await untilUp(exporter)
    assert.equal(sampleValue(text, 'xmpp_online_users{host="one.example"}'), 2)
    assert.equal(sampleValue(text, 'xmpp_online_users{host="two.example"}'), undefined)
    for (const family of ['xmpp_s2s_connections', 'prosody_module_loaded']) {
      const lines = serverSamples(text).filter((line) => line.startsWith(family))
      assert.ok(lines.length > 0)
      assert.ok(lines.every((line) => line.includes('host="one.example"')))
    }
    assert.ok(sampleValue(text, 'xmpp_ping_seconds{host="two.example"}')! > 0)
    for (const name of ON_BY_DEFAULT.filter((name) => !/registry|ejabberd/.test(name))) {
      assert.equal(success(text, name), 1, name)
    }
    assert.deepEqual(complaints(exporter), [])
  })

  test(`without mod_adhoc_statistics and admin rights, the exporter exports only public statistics of Prosody ${version} and logs one line about it`, async (t) => {
    const { prosody, user } = await startProsody(t, version)
    await openRoom(user, `only@${prosody.rooms}`)
    const tap = await startTap(t, prosody.ports.component)
    // Without the setting `hosts`, the exporter queries the parent domain of its own domain, and the services that
    // the parent domain lists.
    const exporter = await withExporterFor(
      t,
      { ...prosody, service: tap.service },
      {
        stock: true,
        flags: ['--log.format=json'],
        env: { PROSODY_EXPORTER_COLLECTION_MIN_AGE: '0s' },
      },
    )
    const text = await untilUp(exporter)
    assert.equal(sampleValue(text, 'xmpp_muc_rooms{host="rooms.one.example"}'), 1)
    assert.ok(sampleValue(text, 'xmpp_ping_seconds{host="one.example"}')! > 0)
    assert.ok(sampleValue(text, 'xmpp_start_time_seconds{host="one.example"}')! > 0)
    assert.equal(sampleValue(text, 'xmpp_ping_seconds{host="two.example"}'), undefined)
    assert.doesNotMatch(text, /^(xmpp_online_users|xmpp_s2s_connections|prosody_module_loaded)/m)
    for (const name of ON_BY_DEFAULT) {
      const expected = IDLE.includes(name) ? undefined : name === 'registry' ? 0 : 1
      assert.equal(success(text, name), expected, name)
    }

    const [lines, asked, logged] = [logLines(exporter), tap.stanzas().length, prosody.log()]
    const scrapes = 50
    for (let i = 0; i < scrapes; i++) {
      assert.equal((await exporter.get('/metrics')).status, 200)
    }
    assert.deepEqual(logLines(exporter), lines, 'the exporter logs no more lines')
    assert.equal(prosody.log(), logged, 'Prosody logs no more lines')
    const questions = new Map<string, number>()
    for (const { name, attrs, children } of tap.stanzas().slice(asked)) {
      const [child] = children
      if (name !== 'iq' || typeof child !== 'object') continue
      const what = [attrs['type'], attrs['to'], child.name, child.attrs['xmlns']].join(' ')
      questions.set(what, (questions.get(what) ?? 0) + 1)
    }
    // The exporter requests the number of rooms once a minute. On a slow machine, the scrapes can take longer.
    const rooms = 'get rooms.one.example query http://jabber.org/protocol/disco#items'
    assert.ok((questions.get(rooms) ?? 0) < scrapes)
    questions.delete(rooms)
    assert.deepEqual(
      Object.fromEntries(questions),
      {
        'get one.example ping urn:xmpp:ping': scrapes,
        // With this request to its own domain, the exporter checks at each scrape whether the module has been loaded.
        [`set ${STATS} command http://jabber.org/protocol/commands`]: scrapes,
      },
      'the exporter does not repeat a refused request',
    )
    const messages = lines.map(({ message }) => message)
    assert.equal(messages.filter((line) => /for admins only/.test(line)).length, 1)
    assert.equal(complaints(exporter).length, 1, complaints(exporter).join('\n'))
    assert.equal((await exporter.get('/-/ready')).status, 200)
  })

  test(`if the setting hosts has a name that Prosody ${version} does not have, the exporter logs one line and exports the other hosts`, async (t) => {
    // The module s2s is off, because it would look up the unknown host in DNS, which can take long.
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
    assert.match(complaints(exporter)[0]!, /typo\.one\.example of `hosts` does not describe itself/)
  })
}
