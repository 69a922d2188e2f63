// Tests of the collectors that use standard XMPP extensions or stock modules of Prosody, against fake servers.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { COLLECTORS } from '../../../src/collectors/index.js'
import { components } from '../../../src/collectors/components.js'
import { modules } from '../../../src/collectors/modules.js'
import { mucRooms } from '../../../src/collectors/muc-rooms.js'
import { ping } from '../../../src/collectors/ping.js'
import { createRightsAdvice } from '../../../src/collectors/rights.js'
import { s2s } from '../../../src/collectors/s2s.js'
import { serverStatistics } from '../../../src/collectors/server-statistics.js'
import { createStartTimeSource } from '../../../src/collectors/start-time.js'
import { users } from '../../../src/collectors/users.js'
import { version } from '../../../src/collectors/version.js'
import { LinkError, TimeoutError } from '../../../src/errors.js'
import { xml } from '../../../src/xmpp/xml.js'
import {
  collectorOf,
  completed,
  form,
  IM,
  NS_COMMANDS,
  NS_INFO,
  NS_ITEMS,
  serverOf,
  type Child,
} from '../../support/fake-hosts.js'

const NS_ADMIN = 'http://jabber.org/protocol/admin'
const S2S = 'http://prosody.im/protocol/s2s#list'
const ONLINE = `${NS_ADMIN}#get-online-users-list`

test('the collector s2s counts connections by direction and security, and ignores other flags of a connection', async () => {
  const lines = [
    '-> plain.example [s2sout1] ()',
    '<- plain.example [s2sin2] (dialback)',
    '-> a.b [s2sout3] (encrypted)',
    '<- a.b [s2sin4] (dialback, encrypted, sm, IPv6)',
    '<- a.b [s2sin5] (authenticated, SASL, encrypted, compressed, sm, bidi)',
    ' -> we (are) odd.example [s2sout6] (authenticated, encrypted, bidi)',
    '<- ? [s2sin_unauthed7] ()',
  ]
  const server = serverOf({
    'a.example': {
      ...IM,
      commands: [S2S],
      answer: () => completed(S2S, form('sessions', lines)),
    },
    'b.example': { ...IM, commands: [S2S], answer: () => completed(S2S, form('sessions', [''])) },
  })
  const { samples } = await collectorOf(server, s2s, ['a.example', 'b.example'])()
  assert.deepEqual(
    samples.filter((sample) => !sample.endsWith(' 0')),
    [
      'xmpp_s2s_connections{host="a.example",direction="in",security="verified"} 1',
      'xmpp_s2s_connections{host="a.example",direction="in",security="encrypted"} 1',
      'xmpp_s2s_connections{host="a.example",direction="in",security="plain"} 2',
      'xmpp_s2s_connections{host="a.example",direction="out",security="verified"} 1',
      'xmpp_s2s_connections{host="a.example",direction="out",security="encrypted"} 1',
      'xmpp_s2s_connections{host="a.example",direction="out",security="plain"} 1',
    ],
  )
  assert.equal(
    samples.length,
    12,
    'combinations without a connection are exported with the value 0',
  )
})

test('the collector s2s fails if a line of the list has an unknown format, and the error does not quote the line', async () => {
  const server = serverOf({
    'a.example': {
      ...IM,
      commands: [S2S],
      answer: () => completed(S2S, form('sessions', ['- who.example (x)'])),
    },
  })
  const { failure, samples } = await collectorOf(server, s2s)()
  assert.match(
    String(failure),
    /DecodeError: s2s#list: expected a line with -> or <-, got another line/,
  )
  assert.deepEqual(samples, [])
})

test('if a host lists 200 online users, the collector users fails, and exports only the numbers of the other hosts', async () => {
  const list = (length: number) =>
    completed(ONLINE, form('onlineuserjids', length === 0 ? [''] : Array(length).fill('x')))
  const server = serverOf({
    'a.example': { ...IM, commands: [ONLINE], answer: () => list(200) },
    'b.example': { ...IM, commands: [ONLINE], answer: () => list(199) },
    'c.example': { ...IM, commands: [ONLINE], answer: () => list(0) },
    'd.example': { ...IM, commands: [] },
  })
  const { failure, samples } = await collectorOf(server, users, [
    'a.example',
    'b.example',
    'c.example',
    'd.example',
  ])()
  assert.match(String(failure), /a\.example has 200 users online or more/)
  assert.deepEqual(samples, [
    'xmpp_online_users{host="b.example"} 199',
    'xmpp_online_users{host="c.example"} 0',
  ])
})

test('the collector users does not request the list of online users if the host has commands for the numbers', async () => {
  const node = (name: string) => `${NS_ADMIN}#get-${name}-num`
  const numbers = new Map([
    [node('registered-users'), ['registeredusersnum', '12']],
    [node('online-users'), ['onlineusersnum', '3']],
  ])
  const server = serverOf({
    'a.example': {
      ...IM,
      commands: [ONLINE, ...numbers.keys()],
      answer: ({ attrs }) => {
        const [name, value] = numbers.get(attrs['node']!)!
        return completed(attrs['node']!, form(name!, [value!]))
      },
    },
  })
  const { samples } = await collectorOf(server, users)()
  assert.deepEqual(samples, [
    'xmpp_online_users{host="a.example"} 3',
    'xmpp_registered_users{host="a.example"} 12',
  ])
  assert.ok(!server.asked.some((line) => line.includes(ONLINE)))
})

test('a collector cancels an ad-hoc command that replies with the status `executing`', async () => {
  const node = 'http://prosody.im/protocol/modules#list'
  const server = serverOf({
    'a.example': {
      ...IM,
      commands: [node],
      answer: () =>
        xml('command', { xmlns: NS_COMMANDS, node, status: 'executing', sessionid: 's' }),
    },
  })
  const { failure } = await collectorOf(server, modules)()
  assert.match(String(failure), /asks for input/)
  assert.deepEqual(
    server.asked.slice(-2).map((line) => line.split(' ').at(-1)),
    ['execute', 'cancel'],
  )
})

test('if a configured host does not exist, the collector components fails and the collector ping does not', async () => {
  const server = serverOf({
    'a.example': { ...IM, features: ['urn:xmpp:ping'], answer: () => xml('x') },
  })
  const named = ['a.example', 'typo.example']
  const { failure, samples } = await collectorOf(server, components, named)()
  assert.match(
    String(failure),
    /typo\.example of `hosts` does not describe itself \(item-not-found\)/,
  )
  assert.deepEqual(samples, ['xmpp_host_info{host="a.example",category="server",type="im"} 1'])
  const pinged = await collectorOf(server, ping, named)()
  assert.equal(pinged.failure, undefined)
  assert.equal(pinged.samples.length, 1)
})

test("the exporter queries the hosts below its parent domain only if the parent lists the exporter's domain", async () => {
  const room = { identities: [['conference', 'text']] } as const
  const listing = serverOf({
    example: { ...IM, items: ['rooms.example', 'stats.example', 'gone.example', 'user@example'] },
    'rooms.example': room,
  })
  const { samples } = await collectorOf(listing, components, [])()
  assert.deepEqual(samples, [
    'xmpp_host_info{host="example",category="server",type="im"} 1',
    'xmpp_host_info{host="rooms.example",category="conference",type="text"} 1',
  ])
  const elsewhere = serverOf({ example: { ...IM, items: ['rooms.example'] } })
  assert.deepEqual((await collectorOf(elsewhere, components, [])()).samples, [])
  assert.deepEqual(elsewhere.asked, [`example get query ${NS_ITEMS}`])
})

test('the exporter searches for hosts once per stream, and again after five minutes', async () => {
  let now = 0
  const server = serverOf({
    'a.example': { ...IM, features: ['jabber:iq:version'], answer: () => xml('query') },
  })
  const collect = collectorOf(server, version, ['a.example'], () => now)
  const searches = () => server.asked.filter((line) => line.includes(NS_INFO)).length
  const versions = () => server.asked.filter((line) => line.includes('jabber:iq:version')).length
  assert.equal((await collect()).isFromCache, false)
  const again = await collect()
  assert.equal(again.isFromCache, true, 'the second collection requests no version')
  assert.equal(again.samples.length, 1)
  assert.deepEqual([searches(), versions()], [1, 1])
  now = 300_000
  assert.equal((await collect()).samples.length, 1, 'cached values are served during the search')
  await new Promise((resolve) => setImmediate(resolve))
  await collect()
  assert.deepEqual([searches(), versions()], [2, 2])
  server.reconnect()
  await collect()
  assert.deepEqual([searches(), versions()], [3, 3])
  server.cut()
  await assert.rejects(collect(), LinkError)
})

test('if a host does not answer, the collector fails, and the series of the other hosts are exported', async () => {
  const pong = { ...IM, features: ['urn:xmpp:ping'] }
  const server = serverOf({
    'a.example': { ...pong, answer: () => new TimeoutError('no reply') },
    'b.example': { ...pong, answer: () => xml('x') },
  })
  const { failure, samples } = await collectorOf(server, ping, ['a.example', 'b.example'])()
  assert.ok(failure instanceof TimeoutError)
  assert.equal(samples.length, 1)
  await assert.rejects(collectorOf(server, ping, ['a.example'])(), TimeoutError)
})

test('the collector muc_rooms requests the number once a minute, and immediately on a new stream', async () => {
  let count = 1
  let nowMs = 0
  const server = serverOf({
    'rooms.example': {
      identities: [['conference', 'text']],
      features: ['http://jabber.org/protocol/muc'],
      answer: () =>
        xml(
          'query',
          { xmlns: NS_ITEMS },
          xml('set', { xmlns: 'http://jabber.org/protocol/rsm' }, xml('count', {}, String(count))),
        ),
    },
  })
  const collect = collectorOf(server, mucRooms, ['rooms.example'], () => nowMs)
  const exported = async () => {
    const { samples, isFromCache } = await collect()
    return { rooms: samples[0]?.split(' ')[1], isFromCache }
  }
  assert.deepEqual(await exported(), { rooms: '1', isFromCache: false })
  count = 2
  nowMs += 45_000
  assert.deepEqual(await exported(), { rooms: '1', isFromCache: true })
  nowMs += 15_000
  assert.deepEqual(await exported(), { rooms: '2', isFromCache: false })
  count = 3
  server.reconnect()
  assert.deepEqual(await exported(), { rooms: '3', isFromCache: false })
})

test('the collector muc_rooms uses the count of the server if it has one, and does not request a long list again', async () => {
  let items = 0
  let set: Child | undefined
  let lost = false
  const server = serverOf({
    'rooms.example': {
      identities: [['conference', 'text']],
      features: ['http://jabber.org/protocol/muc'],
      answer: () =>
        lost
          ? new LinkError('lost')
          : xml(
              'query',
              { xmlns: NS_ITEMS },
              ...Array.from({ length: items }, (_, i) =>
                xml('item', { jid: `${i}@rooms.example` }),
              ),
              set,
            ),
    },
  })
  let nowMs = 0
  // The collector requests a number again after 55 seconds, and the exporter searches for hosts after five minutes.
  const collectLater = collectorOf(server, mucRooms, ['rooms.example'], () => (nowMs += 10))
  const collect = () => {
    nowMs += 55_000
    return collectLater()
  }
  const count = async () => (await collect()).samples[0]?.split(' ')[1]
  assert.equal(await count(), '0')
  items = 3
  assert.equal(await count(), '3')
  set = xml('set', { xmlns: 'http://jabber.org/protocol/rsm' }, xml('count', {}, '7000'))
  items = 0
  assert.equal(await count(), '7000')
  set = undefined
  items = 5001
  assert.equal(await count(), '5001')
  const asked = server.asked.length
  const { failure } = await collect()
  assert.match(String(failure), /rooms\.example listed 5001 rooms, more than the maximum of 5000/)
  assert.equal(server.asked.length, asked, 'no request is sent')

  items = 0
  const losingLater = collectorOf(server, mucRooms, ['rooms.example'], () => (nowMs += 10))
  const losing = () => {
    nowMs += 55_000
    return losingLater()
  }
  await losing()
  lost = true
  await assert.rejects(losing(), LinkError)
  await assert.rejects(losing(), LinkError)
  assert.match(String((await losing()).failure), /did not return its rooms, 2 times in a row/)
})

test('the start time stays the same if the uptime in whole seconds varies by rounding', async () => {
  let seconds = 100
  let now = 1_000_000_000
  const source = createStartTimeSource(() => now)
  const host = {
    jid: 'a.example',
    identities: [],
    features: new Set<string>(),
    commands: new Set<string>(),
  }
  const read = async () => {
    const readings = await source.read(host, {
      iq: () =>
        Promise.resolve(
          xml('iq', {}, xml('query', { xmlns: 'jabber:iq:last', seconds: String(seconds) })),
        ),
      command: () => Promise.reject(new Error('no command')),
      form: () => Promise.resolve(undefined),
    })
    return readings.map(({ value }) => value)
  }
  assert.deepEqual(await read(), [999_900])
  now += 10_900
  seconds += 12
  assert.deepEqual(await read(), [999_900])
  now += 60_000
  seconds = 1
  assert.deepEqual(await read(), [1_000_070])
})

test('the collector server_statistics requests the statistics that the server names, and leaves out those with an error', async () => {
  const NS = 'http://jabber.org/protocol/stats'
  const server = serverOf({
    'a.example': {
      ...IM,
      features: [NS],
      answer: (child) =>
        child.getChildren('stat').length === 0
          ? xml(
              'query',
              { xmlns: NS },
              xml('stat', { name: 'users/online' }),
              xml('stat', { name: 'x' }),
            )
          : xml(
              'query',
              { xmlns: NS },
              xml('stat', { name: 'users/online', units: 'users', value: '5' }),
              xml('stat', { name: 'x' }, xml('error', { code: '503' })),
            ),
    },
  })
  assert.deepEqual((await collectorOf(server, serverStatistics)()).samples, [
    'xmpp_statistic{host="a.example",name="users/online",units="users"} 5',
  ])
})

test('the exporter advises once about admin rights if it has neither admin rights nor mod_adhoc_statistics', () => {
  const lines: string[] = []
  const host = (commands: string[]) => ({
    jid: 'a.example',
    identities: [],
    features: new Set<string>(),
    commands: new Set(commands),
  })
  const advice = (collectors: string[]) =>
    createRightsAdvice(
      'stats.example',
      COLLECTORS.filter(({ name }) => collectors.includes(name)),
      (line) => lines.push(line),
    )
  const all = ['registry', 'users', 's2s', 'modules']

  const withModule = advice(all)
  withModule.found([host([])])
  const withRights = advice(all)
  withRights.found([host([S2S])])
  withRights.moduleIsMissing()
  const notWanted = advice(['registry', 'ping'])
  notWanted.found([host([])])
  notWanted.moduleIsMissing()
  assert.deepEqual(lines, [])

  const neither = advice(all)
  for (let i = 0; i < 3; i++) {
    neither.moduleIsMissing()
    neither.found([host([])])
  }
  assert.equal(lines.length, 1)
  assert.match(lines[0]!, /^users, s2s, modules: no data, .*admins = \{ "stats\.example" \}/)
})
