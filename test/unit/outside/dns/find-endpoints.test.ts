import assert from 'node:assert/strict'
import { test, type TestContext } from 'node:test'
import type { Answer } from 'dns-packet'
import { findEndpoints, type Side } from '../../../../src/outside/dns/find-endpoints.js'
import { createResolver } from '../../../../src/outside/dns/resolver.js'
import { createClock } from '../../../support/clock.js'
import {
  address,
  alias,
  answerFrom,
  srv,
  withFakeDns,
  type FakeDnsHandler,
} from '../../../support/fake-dns.js'

const SERVICES = ['xmpp-client', 'xmpps-client', 'xmpp-server', 'xmpps-server'] as const
type Service = (typeof SERVICES)[number]

const nameOf = (service: Service) => `_${service}._tcp.example.net`
const to = (service: Service, target: string, port: number, priority = 0, weight = 0) =>
  srv(nameOf(service), target, port, priority, weight)

const CHAT = [address('chat.example.net', '8.8.8.8'), address('chat.example.net', '2a00::1')]

async function find(
  t: TestContext,
  records: readonly Answer[] | FakeDnsHandler,
  { sides = ['client'] as readonly Side[], allowPrivate = false, clock = createClock() } = {},
) {
  const handler = typeof records === 'function' ? records : answerFrom(records)
  const { nameServer } = await withFakeDns(t, handler)
  const resolver = createResolver({ nameServers: [nameServer], timeoutMs: 10_000, ...clock })
  t.after(resolver.close)
  const { lookups, endpoints, problems } = await findEndpoints('example.net', {
    resolver,
    sides,
    allowPrivate,
  })
  return {
    lookups: lookups.map(({ service, state, records }) => `${service} ${state} ${records}`),
    endpoints: endpoints.map(
      (each) => `${each.service} ${each.target}:${each.port} ${each.addresses.join(' ')}`,
    ),
    problems: problems.map(({ code, service, target, family }) =>
      [code, service, target, family].filter((each) => each !== undefined).join(' '),
    ),
    details: problems.map(({ detail }) => detail),
  }
}

test('all services of a complete domain', async (t) => {
  const found = await find(
    t,
    [
      to('xmpp-client', 'chat.example.net', 5222),
      to('xmpps-client', 'chat.example.net', 5223),
      to('xmpp-server', 'chat.example.net', 5269),
      to('xmpps-server', 'chat.example.net', 5270),
      ...CHAT,
    ],
    { sides: ['client', 'server'] },
  )
  assert.deepEqual(found, {
    lookups: SERVICES.map((service) => `${service} found 1`),
    endpoints: SERVICES.flatMap((service, i) => {
      const port = [5222, 5223, 5269, 5270][i] ?? 0
      return ['8.8.8.8', '2a00::1'].map((each) => `${service} chat.example.net:${port} ${each}`)
    }),
    problems: [],
    details: [],
  })
})

test('only the given sides are looked up', async (t) => {
  const { lookups, problems } = await find(
    t,
    [to('xmpp-server', 'chat.example.net', 5269), ...CHAT],
    { sides: ['server'] },
  )
  assert.deepEqual(lookups, ['xmpp-server found 1', 'xmpps-server missing 0'])
  assert.deepEqual(problems, [])
})

test('without SRV records, the addresses of the domain are used', async (t) => {
  const found = await find(t, [address('example.net', '8.8.8.8')], { sides: ['client', 'server'] })
  assert.deepEqual(found.endpoints, [
    'xmpp-client example.net:5222 8.8.8.8',
    'xmpp-server example.net:5269 8.8.8.8',
  ])
  assert.deepEqual(found.problems, ['srv_missing xmpp-client', 'srv_missing xmpp-server'])
})

test('without SRV records, the domain can be an alias', async (t) => {
  const found = await find(t, [alias('example.net', 'chat.example.net'), ...CHAT])
  assert.deepEqual(found.endpoints, [
    'xmpp-client example.net:5222 8.8.8.8',
    'xmpp-client example.net:5222 2a00::1',
  ])
  assert.deepEqual(found.problems, ['srv_missing xmpp-client'])
})

test('with SRV records for direct TLS alone, there is no fallback', async (t) => {
  const found = await find(t, [
    to('xmpps-client', 'chat.example.net', 443),
    ...CHAT,
    address('example.net', '8.8.4.4'),
  ])
  assert.deepEqual(found.endpoints, [
    'xmpps-client chat.example.net:443 8.8.8.8',
    'xmpps-client chat.example.net:443 2a00::1',
  ])
  assert.deepEqual(found.problems, [])
})

test('a domain that does not exist', async (t) => {
  const found = await find(t, [], { sides: ['client', 'server'] })
  assert.deepEqual(found.problems, ['domain_not_found'])
  assert.deepEqual(found.lookups[0], 'xmpp-client missing 0')
})

test('a side that has neither SRV records nor addresses', async (t) => {
  const found = await find(t, [to('xmpp-client', 'chat.example.net', 5222), ...CHAT], {
    sides: ['client', 'server'],
  })
  assert.deepEqual(found.problems, [
    'srv_missing xmpp-server',
    'srv_target_not_found xmpp-server example.net:5269',
  ])
})

test('a service that is not offered has no fallback', async (t) => {
  const found = await find(t, [to('xmpp-client', '.', 0), address('example.net', '8.8.8.8')])
  assert.deepEqual(found, {
    lookups: ['xmpp-client not_offered 1', 'xmpps-client missing 0'],
    endpoints: [],
    problems: ['service_not_offered xmpp-client'],
    details: [undefined],
  })
})

test('STARTTLS alone, while direct TLS is not offered, is no problem', async (t) => {
  const found = await find(t, [
    to('xmpp-client', 'chat.example.net', 5222),
    to('xmpps-client', '.', 0),
    ...CHAT,
  ])
  assert.deepEqual(found.problems, [])
})

test('the target "." beside others', async (t) => {
  const found = await find(t, [
    to('xmpp-client', '.', 0),
    to('xmpp-client', 'chat.example.net', 5222),
    ...CHAT,
  ])
  assert.deepEqual(found.lookups[0], 'xmpp-client found 2')
  assert.equal(found.endpoints.length, 2)
  assert.deepEqual(found.problems, ['srv_dot_mixed xmpp-client'])
})

test('a target that is an IP address, and one that is no host name', async (t) => {
  const found = await find(t, [
    to('xmpp-client', '192.0.2.1', 5222),
    to('xmpp-client', 'a b.example.net', 5222),
  ])
  assert.deepEqual(found.endpoints, [])
  assert.deepEqual(found.problems, ['srv_target_invalid xmpp-client'])
  assert.match(found.details[0] ?? '', /^192\.0\.2\.1, a/)
})

test('port 0', async (t) => {
  const found = await find(t, [to('xmpp-client', 'chat.example.net', 0), ...CHAT])
  assert.deepEqual(found.endpoints, [])
  assert.deepEqual(found.problems, ['srv_port_invalid xmpp-client chat.example.net'])
})

test('many records with port 0 have at most eight problems', async (t) => {
  const records = Array.from({ length: 100 }, (_, i) => to('xmpp-client', `t${i}.example.net`, 0))
  const found = await find(t, [...records, ...CHAT])
  assert.equal(found.problems.length, 8)
})

test('a target without an address', async (t) => {
  const found = await find(t, [to('xmpp-client', 'chat.example.net', 5222)])
  assert.deepEqual(found.problems, ['srv_target_not_found xmpp-client chat.example.net:5222'])
})

test('a target that is an alias is checked nevertheless', async (t) => {
  const found = await find(t, [
    to('xmpp-client', 'www.example.net', 5222),
    alias('www.example.net', 'chat.example.net'),
    ...CHAT,
  ])
  assert.deepEqual(found.endpoints, [
    'xmpp-client www.example.net:5222 8.8.8.8',
    'xmpp-client www.example.net:5222 2a00::1',
  ])
  assert.deepEqual(found.problems, ['srv_target_alias xmpp-client www.example.net:5222'])
})

test('an alias into a zone that the server does not resolve', async (t) => {
  const answer = answerFrom([...CHAT])
  const found = await find(t, (query) => {
    if (query.name === nameOf('xmpp-client')) {
      return [{ answers: [to('xmpp-client', 'www.example.net', 5222)] }]
    }
    if (query.name === 'www.example.net') {
      return [{ answers: [alias('www.example.net', 'chat.example.net')] }]
    }
    return answer(query)
  })
  assert.equal(found.endpoints.length, 2)
  assert.deepEqual(found.problems, ['srv_target_alias xmpp-client www.example.net:5222'])
})

for (const [what, end] of [
  ['ends nowhere', 'nothing.example.net'],
  ['is a loop', 'a.example.net'],
] as const) {
  test(`a target that is an alias and ${what}`, async (t) => {
    const found = await find(t, [
      to('xmpp-client', 'a.example.net', 5222),
      alias('a.example.net', 'b.example.net'),
      alias('b.example.net', end),
    ])
    assert.deepEqual(found.endpoints, [])
    assert.deepEqual(found.problems, ['srv_target_loop xmpp-client a.example.net:5222'])
  })
}

test('a loop for which the resolver answers SERVFAIL', async (t) => {
  const answer = answerFrom([
    to('xmpp-client', 'a.example.net', 5222),
    alias('a.example.net', 'a.example.net'),
  ])
  const found = await find(t, (query) =>
    query.type === 'A' || query.type === 'AAAA' ? [{ code: 'SERVFAIL' }] : answer(query),
  )
  assert.deepEqual(found.problems, ['srv_target_loop xmpp-client a.example.net:5222'])
})

test('an error for a target', async (t) => {
  const answer = answerFrom([to('xmpp-client', 'chat.example.net', 5222), ...CHAT])
  const fail =
    (types: readonly string[]): FakeDnsHandler =>
    (query) =>
      types.includes(query.type) ? [{ code: 'SERVFAIL' }] : answer(query)
  const one = await find(t, fail(['AAAA']))
  assert.deepEqual(one.endpoints, ['xmpp-client chat.example.net:5222 8.8.8.8'])
  assert.deepEqual(one.problems, ['dns_failed xmpp-client chat.example.net:5222 ipv6'])
  const both = await find(t, fail(['A', 'AAAA']))
  assert.deepEqual(both.problems, ['dns_failed xmpp-client chat.example.net:5222'])
})

test('an error for a service is not a missing record', async (t) => {
  const answer = answerFrom([address('example.net', '8.8.8.8')])
  const found = await find(t, (query) =>
    query.name === nameOf('xmpp-client') ? [{ code: 'REFUSED' }] : answer(query),
  )
  assert.deepEqual(found, {
    lookups: ['xmpp-client failed 0', 'xmpps-client missing 0'],
    endpoints: [],
    problems: ['dns_failed xmpp-client'],
    details: ['REFUSED'],
  })
})

test('a slow answer for a service', async (t) => {
  const clock = createClock()
  const answer = answerFrom([to('xmpps-client', 'chat.example.net', 5223), ...CHAT])
  const found = await find(
    t,
    (query) => {
      if (query.name === nameOf('xmpps-client')) clock.advance(3000)
      return answer(query)
    },
    { clock },
  )
  assert.equal(found.endpoints.length, 2)
  assert.ok(found.problems.includes('dns_slow xmpps-client'), found.problems.join())
})

test('a private address', async (t) => {
  const records = [
    to('xmpp-client', 'chat.example.net', 5222),
    address('chat.example.net', '10.0.0.1'),
    address('chat.example.net', '2a00::1'),
  ]
  const found = await find(t, records)
  assert.deepEqual(found.endpoints, ['xmpp-client chat.example.net:5222 2a00::1'])
  assert.deepEqual(found.problems, ['private_address xmpp-client chat.example.net:5222 ipv4'])
  assert.ok(!JSON.stringify(found).includes('10.0.0.1'))
  const allowed = await find(t, records, { allowPrivate: true })
  assert.deepEqual(allowed.endpoints[0], 'xmpp-client chat.example.net:5222 10.0.0.1')
  assert.deepEqual(allowed.problems, [])
})

test('a domain with private addresses alone is not missing', async (t) => {
  const found = await find(t, [address('example.net', '192.168.1.1')])
  assert.deepEqual(found.problems, [
    'srv_missing xmpp-client',
    'private_address xmpp-client example.net:5222 ipv4',
  ])
})

test('the order of priority and weight, without duplicates', async (t) => {
  const found = await find(t, [
    to('xmpp-client', 'c.example.net', 5222, 20),
    to('xmpp-client', 'b.example.net', 5222, 10, 1),
    to('xmpp-client', 'A.example.net', 5222, 10, 2),
    to('xmpp-client', 'a.example.net', 5222, 30),
    ...['a', 'b', 'c'].map((name) => address(`${name}.example.net`, '8.8.8.8')),
  ])
  assert.deepEqual(
    found.endpoints.map((each) => each.split(' ')[1]),
    ['a.example.net:5222', 'b.example.net:5222', 'c.example.net:5222'],
  )
  assert.deepEqual(found.problems, [])
})

test('more than eight targets', async (t) => {
  const names = Array.from({ length: 9 }, (_, i) => `c${i}.example.net`)
  const found = await find(t, [
    ...names.map((name, i) => to('xmpp-client', name, 5222, 9 - i)),
    ...names.map((name) => address(name, '8.8.8.8')),
  ])
  assert.equal(found.endpoints.length, 8)
  assert.ok(!found.endpoints.join().includes('c0.'), 'the last by priority is omitted')
  assert.deepEqual(found.lookups[0], 'xmpp-client found 9')
  assert.deepEqual(found.problems, ['srv_too_many xmpp-client'])
})

test('exactly eight targets', async (t) => {
  const names = Array.from({ length: 8 }, (_, i) => `c${i}.example.net`)
  const found = await find(t, [
    ...names.map((name) => to('xmpp-client', name, 5222)),
    ...names.map((name) => address(name, '8.8.8.8')),
  ])
  assert.equal(found.endpoints.length, 8)
  assert.deepEqual(found.problems, [])
})

test('each problem has its own labels', async (t) => {
  const found = await find(t, [
    to('xmpp-client', 'chat.example.net', 0, 1),
    to('xmpp-client', 'chat.example.net', 0, 2),
  ])
  assert.deepEqual(found.problems, ['srv_port_invalid xmpp-client chat.example.net'])
})
