import assert from 'node:assert/strict'
import { test, type TestContext } from 'node:test'
import { createResolver } from '../../../../src/outside/dns/resolver.js'
import { createClock, type Clock } from '../../../support/clock.js'
import {
  address,
  alias,
  answerFrom,
  srv,
  withFakeDns,
  type FakeDnsHandler,
} from '../../../support/fake-dns.js'
import { freePort, until } from '../../../support/setup/process.js'

const SERVICE = '_xmpp-client._tcp.example.net'

async function setUp(t: TestContext, ...handlers: FakeDnsHandler[]) {
  const clock = createClock()
  const servers = await Promise.all(handlers.map((handler) => withFakeDns(t, handler)))
  const resolver = createResolver({
    nameServers: servers.map(({ nameServer }) => nameServer),
    timeoutMs: 10_000,
    now: clock.now,
    schedule: clock.schedule,
  })
  t.after(resolver.close)
  return { resolver, servers, clock }
}

const silent: FakeDnsHandler = () => []

async function waitForQueries(queries: readonly unknown[], count: number): Promise<void> {
  await until(() => queries.length === count, { what: `${count} queries` })
}

/** Passes the time limit of a request to a silent server. The request is sent twice. */
async function passTimeout(queries: readonly unknown[], clock: Clock): Promise<void> {
  const before = queries.length
  await waitForQueries(queries, before + 1)
  clock.advance(5000)
  await waitForQueries(queries, before + 2)
  clock.advance(5000)
}

test('SRV records, with the root as an empty name', async (t) => {
  const { resolver } = await setUp(
    t,
    answerFrom([srv(SERVICE, 'chat.example.net', 5222, 1, 2), srv(SERVICE, '.', 0)]),
  )
  const { state, records } = await resolver.srv(SERVICE)
  assert.equal(state, 'found')
  assert.deepEqual(
    records.map(({ name, port, priority, weight }) => [name, port, priority, weight]),
    [
      ['chat.example.net', 5222, 1, 2],
      ['', 0, 0, 0],
    ],
  )
})

test('a name without a record of the type differs from a name that does not exist', async (t) => {
  const { resolver } = await setUp(t, answerFrom([address('example.net', '8.8.8.8')]))
  assert.equal((await resolver.addresses('example.net', 'ipv6')).state, 'no_data')
  assert.equal((await resolver.addresses('nothing.example.net', 'ipv6')).state, 'not_found')
})

test('addresses behind an alias, and the alias itself', async (t) => {
  const { resolver } = await setUp(
    t,
    answerFrom([alias('chat.example.net', 'a.example.net'), address('a.example.net', '8.8.8.8')]),
  )
  assert.deepEqual((await resolver.addresses('chat.example.net', 'ipv4')).records, ['8.8.8.8'])
  assert.deepEqual((await resolver.alias('chat.example.net')).records, ['a.example.net'])
  assert.equal((await resolver.alias('a.example.net')).state, 'no_data')
})

test('an answer with aliases alone has no data', async (t) => {
  const { resolver } = await setUp(t, () => [
    { answers: [alias('a.example.net', 'b.example.net'), alias('b.example.net', 'a.example.net')] },
  ])
  const { state, records } = await resolver.addresses('a.example.net', 'ipv4')
  assert.deepEqual({ state, records }, { state: 'no_data', records: [] })
})

for (const code of ['SERVFAIL', 'REFUSED', 'NOTIMP', 'FORMERR'] as const) {
  test(`the error ${code} is named`, async (t) => {
    const { resolver } = await setUp(t, () => [{ code }])
    const { state, detail } = await resolver.srv(SERVICE)
    assert.deepEqual({ state, detail }, { state: 'failed', detail: code })
  })
}

test('after an error, the next server is asked', async (t) => {
  const { resolver } = await setUp(
    t,
    () => [{ code: 'SERVFAIL' }],
    answerFrom([address('example.net', '8.8.8.8')]),
  )
  assert.equal((await resolver.addresses('example.net', 'ipv4')).state, 'found')
})

test('an answer that a name does not exist is final', async (t) => {
  const { resolver, servers } = await setUp(
    t,
    answerFrom([]),
    answerFrom([address('example.net', '8.8.8.8')]),
  )
  assert.equal((await resolver.addresses('example.net', 'ipv4')).state, 'not_found')
  assert.equal(servers[1]!.queries.length, 0)
})

test('a request to a silent server is repeated once and ends at the time limit', async (t) => {
  const { resolver, servers, clock } = await setUp(t, silent)
  const answer = resolver.srv(SERVICE)
  await passTimeout(servers[0]!.queries, clock)
  assert.deepEqual(await answer, { state: 'timeout', records: [], seconds: 10 })
  assert.equal(clock.pending(), 0)
})

test('a lost packet does not make the answer slow', async (t) => {
  let count = 0
  const { resolver, servers, clock } = await setUp(t, (query) => {
    count++
    return count === 1 ? [] : answerFrom([address('example.net', '8.8.8.8')])(query)
  })
  const answer = resolver.addresses('example.net', 'ipv4')
  await waitForQueries(servers[0]!.queries, 1)
  clock.advance(5000)
  assert.deepEqual(await answer, { state: 'found', records: ['8.8.8.8'], seconds: 0 })
})

test('a server that was silent is asked last from then on', async (t) => {
  const { resolver, servers, clock } = await setUp(
    t,
    silent,
    answerFrom([address('example.net', '8.8.8.8')]),
  )
  const first = resolver.addresses('example.net', 'ipv4')
  await passTimeout(servers[0]!.queries, clock)
  assert.equal((await first).state, 'found')
  assert.equal((await resolver.addresses('other.example.net', 'ipv4')).state, 'not_found')
  assert.equal(servers[0]!.queries.length, 2)
})

test('an error of one server is reported rather than the silence of another', async (t) => {
  const { resolver, servers, clock } = await setUp(t, silent, () => [{ code: 'REFUSED' }])
  const answer = resolver.srv(SERVICE)
  await passTimeout(servers[0]!.queries, clock)
  const { state, detail } = await answer
  assert.deepEqual({ state, detail }, { state: 'failed', detail: 'REFUSED' })
})

test('a closed port is a server that does not answer', async (t) => {
  const resolver = createResolver({
    nameServers: [`127.0.0.1:${await freePort()}`],
    timeoutMs: 300_000,
  })
  t.after(resolver.close)
  const { state, detail } = await resolver.srv(SERVICE)
  assert.deepEqual({ state, detail }, { state: 'timeout', detail: 'ECONNREFUSED' })
})

test('the duration is that of the answer', async (t) => {
  const clock = createClock()
  const { nameServer } = await withFakeDns(t, (query) => {
    clock.advance(2500)
    return answerFrom([address('example.net', '8.8.8.8')])(query)
  })
  const resolver = createResolver({ nameServers: [nameServer], timeoutMs: 10_000, ...clock })
  t.after(resolver.close)
  assert.equal((await resolver.addresses('example.net', 'ipv4')).seconds, 2.5)
})

test('a truncated answer is requested again over TCP', async (t) => {
  const records = Array.from({ length: 60 }, (_, i) => srv(SERVICE, `c${i}.example.net`, 5222))
  const { resolver, servers } = await setUp(t, (query) =>
    query.transport === 'udp' ? [{ isTruncated: true }] : answerFrom(records)(query),
  )
  assert.equal((await resolver.srv(SERVICE)).records.length, 60)
  assert.deepEqual(
    servers[0]!.queries.map(({ transport }) => transport),
    ['udp', 'tcp'],
  )
})

test('a reply with another id is ignored', async (t) => {
  const { resolver } = await setUp(t, (query) => [
    { hasWrongId: true, answers: [address('example.net', '6.6.6.6')] },
    ...answerFrom([address('example.net', '8.8.8.8')])(query),
  ])
  assert.deepEqual((await resolver.addresses('example.net', 'ipv4')).records, ['8.8.8.8'])
})

test('each name and type is requested once', async (t) => {
  const { resolver, servers } = await setUp(t, answerFrom([address('example.net', '8.8.8.8')]))
  const ask = () => resolver.addresses('example.net', 'ipv4')
  assert.deepEqual(await Promise.all([ask(), ask()]), [await ask(), await ask()])
  await resolver.addresses('example.net', 'ipv6')
  assert.deepEqual(
    servers[0]!.queries.map(({ type }) => type),
    ['A', 'AAAA'],
  )
})

test('close ends the pending requests, and no server is asked afterwards', async (t) => {
  const { resolver, servers, clock } = await setUp(t, silent, silent)
  const answer = resolver.srv(SERVICE)
  await waitForQueries(servers[0]!.queries, 1)
  resolver.close()
  assert.equal((await answer).state, 'failed')
  assert.equal((await resolver.alias('example.net')).state, 'failed')
  assert.deepEqual([servers[0]!.queries.length, servers[1]!.queries.length], [1, 0])
  assert.equal(clock.pending(), 0)
})
