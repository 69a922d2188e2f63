import assert from 'node:assert/strict'
import { test, type TestContext } from 'node:test'
import { findAddresses } from '../../../../src/outside/dns/find-addresses.js'
import { createResolver } from '../../../../src/outside/dns/resolver.js'
import { createClock } from '../../../support/clock.js'
import { address, answerFrom, withFakeDns, type FakeDnsHandler } from '../../../support/fake-dns.js'

async function find(
  t: TestContext,
  handler: FakeDnsHandler,
  { allowPrivate = false, clock = createClock() } = {},
) {
  const { nameServer } = await withFakeDns(t, handler)
  const resolver = createResolver({ nameServers: [nameServer], timeoutMs: 10_000, ...clock })
  t.after(resolver.close)
  return await findAddresses('example.net', { resolver, allowPrivate })
}

test('addresses of both families, without duplicates', async (t) => {
  const records = ['8.8.8.8', '1.1.1.1', '8.8.8.8', '2a00::1'].map((each) =>
    address('example.net', each),
  )
  assert.deepEqual(await find(t, answerFrom(records)), {
    ipv4: ['8.8.8.8', '1.1.1.1'],
    ipv6: ['2a00::1'],
    problems: [],
  })
})

test('at most four addresses of a family', async (t) => {
  const all = ['8.0.0.1', '8.0.0.2', '8.0.0.3', '8.0.0.4', '8.0.0.5']
  const records = all.map((each) => address('example.net', each))
  assert.deepEqual((await find(t, answerFrom(records))).ipv4, all.slice(0, 4))
})

test('private addresses are removed and reported', async (t) => {
  const records = ['10.0.0.1', '8.8.8.8', 'fd00::1'].map((each) => address('example.net', each))
  assert.deepEqual(await find(t, answerFrom(records)), {
    ipv4: ['8.8.8.8'],
    ipv6: [],
    problems: ['private_address'],
  })
})

test('private addresses are returned if they are allowed', async (t) => {
  const records = ['10.0.0.1', 'fd00::1'].map((each) => address('example.net', each))
  assert.deepEqual(await find(t, answerFrom(records), { allowPrivate: true }), {
    ipv4: ['10.0.0.1'],
    ipv6: ['fd00::1'],
    problems: [],
  })
})

test('no address is no problem here', async (t) => {
  assert.deepEqual(await find(t, answerFrom([])), { ipv4: [], ipv6: [], problems: [] })
})

test('an error for one family', async (t) => {
  const { ipv4, problems } = await find(t, (query) =>
    query.type === 'AAAA'
      ? [{ code: 'SERVFAIL' }]
      : answerFrom([address('example.net', '8.8.8.8')])(query),
  )
  assert.deepEqual({ ipv4, problems }, { ipv4: ['8.8.8.8'], problems: ['dns_failed'] })
})

for (const [ms, problems] of [
  [2000, []],
  [2100, ['dns_slow']],
] as const) {
  test(`an answer after ${ms} ms`, async (t) => {
    const clock = createClock()
    const handler = answerFrom([address('example.net', '8.8.8.8')])
    const found = await find(
      t,
      (query) => {
        // Both requests run during this time.
        if (query.type === 'A') clock.advance(ms)
        return handler(query)
      },
      { clock },
    )
    assert.deepEqual(found, { ipv4: ['8.8.8.8'], ipv6: [], problems })
  })
}
