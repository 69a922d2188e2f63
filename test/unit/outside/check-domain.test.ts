import assert from 'node:assert/strict'
import { suite, test, type TestContext } from 'node:test'
import type { Answer } from 'dns-packet'
import { checkDomain, type DomainCheckOptions } from '../../../src/outside/check-domain.js'
import type { TrustStore } from '../../../src/outside/probe/trust-store.js'
import { createConnectionLimit } from '../../../src/outside/connection-limit.js'
import type { Endpoint, EndpointCheck } from '../../../src/outside/outside-check.js'
import { address, answerFrom, srv, withFakeDns } from '../../support/fake-dns.js'
import { until } from '../../support/setup/process.js'

const RECORDS = [
  srv('_xmpp-client._tcp.example.net', 'chat.example.net', 5222),
  srv('_xmpp-server._tcp.example.net', 'chat.example.net', 5269),
  address('chat.example.net', '8.8.8.8'),
  address('chat.example.net', '2a00::1'),
]

const up = (endpoint: Endpoint, extra: Partial<EndpointCheck> = {}): EndpointCheck => ({
  ...{ endpoint, checkedAtSeconds: 0, isUp: true, problems: [], seconds: {}, transcript: [] },
  ...extra,
})

const withCertificate = (sha256: string) => ({
  certificate: { sha256, names: [], issuer: 'CA', expiresAtSeconds: 0 },
})

const describe = ({ service, family }: Endpoint) => `${service} ${family}`

/** The checks of endpoints are fakes, so nothing uses it. */
const TRUST = {} as TrustStore

async function setUp(
  t: TestContext,
  options: Partial<DomainCheckOptions> = {},
  records: readonly Answer[] = RECORDS,
) {
  const { nameServer } = await withFakeDns(t, answerFrom(records))
  return (domain = 'example.net') =>
    checkDomain(domain, {
      ...{ sides: ['client', 'server'], checksWeb: false, nameServers: [nameServer] },
      ...{ timeoutMs: 300_000, allowPrivate: false, trust: TRUST },
      limit: createConnectionLimit({ isOwn: () => true, perMinute: 2 }),
      signal: new AbortController().signal,
      checkEndpoint: (endpoint) => Promise.resolve(up(endpoint)),
      checkWeb: () => Promise.reject(new Error('checkWeb was called')),
      ...options,
    })
}

suite('checkDomain', () => {
  test('checks each endpoint with the options', async (t) => {
    const given: unknown[] = []
    const seen: string[] = []
    const check = await setUp(t, {
      s2sFrom: 'from.example',
      checkEndpoint(endpoint, { timeoutMs, trust, s2sFrom }) {
        given.push({ timeoutMs, trust, s2sFrom })
        return Promise.resolve(up(endpoint))
      },
      onEndpoint: ({ endpoint }) => seen.push(describe(endpoint)),
    })
    const result = await check('Example.NET.')
    const expected = [
      ...['xmpp-client ipv4', 'xmpp-client ipv6', 'xmpp-server ipv4', 'xmpp-server ipv6'],
    ]
    assert.equal(result.domain, 'example.net')
    assert.deepEqual(
      result.endpoints.map(({ endpoint }) => describe(endpoint)),
      expected,
    )
    assert.deepEqual(seen.sort(), expected)
    const options = { timeoutMs: 300_000, trust: TRUST, s2sFrom: 'from.example' }
    assert.deepEqual(given, [options, options, options, options])
    assert.deepEqual(result.problems, [])
    assert.equal(result.lookups.length, 4)
    assert.ok(result.endedAtSeconds >= result.startedAtSeconds)
  })

  test('rejects a text that is no domain name', async (t) => {
    const check = await setUp(t)
    await assert.rejects(check('192.0.2.1'), TypeError)
  })

  test('checks the endpoints of one address one after the other, and those of others meanwhile', async (t) => {
    const started: string[] = []
    const ends: (() => void)[] = []
    const check = await setUp(t, {
      checkEndpoint: (endpoint) =>
        new Promise((resolve) => {
          started.push(describe(endpoint))
          ends.push(() => {
            resolve(up(endpoint))
          })
        }),
    })
    const result = check()
    await until(() => started.length === 2, { what: 'two checks' })
    assert.deepEqual(started, ['xmpp-client ipv4', 'xmpp-client ipv6'])
    ends[1]!()
    await until(() => started.length === 3, { what: 'three checks' })
    assert.equal(started[2], 'xmpp-server ipv6')
    ends[0]!()
    await until(() => started.length === 4, { what: 'four checks' })
    ends.slice(2).forEach((end) => {
      end()
    })
    assert.equal((await result).endpoints.length, 4)
  })

  test('checks at most eight addresses concurrently', async (t) => {
    const names = Array.from({ length: 9 }, (_, i) => `c${i}.example.net`)
    const records = [
      ...names.slice(0, 5).map((name) => srv('_xmpp-client._tcp.example.net', name, 5222)),
      ...names.slice(5).map((name) => srv('_xmpp-server._tcp.example.net', name, 5269)),
      ...names.map((name, i) => address(name, `8.0.0.${i}`)),
    ]
    const ends: (() => void)[] = []
    const options: Partial<DomainCheckOptions> = {
      checkEndpoint: (endpoint) =>
        new Promise((resolve) => {
          ends.push(() => {
            resolve(up(endpoint))
          })
        }),
    }
    const check = await setUp(t, options, records)
    const result = check()
    await until(() => ends.length === 8, { what: 'eight checks' })
    ends[0]!()
    await until(() => ends.length === 9, { what: 'the last check' })
    ends.forEach((end) => {
      end()
    })
    assert.equal((await result).endpoints.length, 9)
  })

  test('compares the certificates with those that Prosody has loaded', async (t) => {
    const seen: EndpointCheck[] = []
    const check = await setUp(t, {
      sides: ['client'],
      loaded: new Map([['example.net', new Set(['aa'])]]),
      checkEndpoint: (endpoint) =>
        Promise.resolve(up(endpoint, withCertificate(endpoint.family === 'ipv4' ? 'aa' : 'bb'))),
      onEndpoint: (each) => seen.push(each),
    })
    const { endpoints, problems } = await check()
    const [loaded, stale] = endpoints
    assert.deepEqual([loaded?.isUp, loaded?.certificate?.isLoaded], [true, true])
    assert.deepEqual([stale?.isUp, stale?.certificate?.isLoaded], [true, false])
    assert.deepEqual(stale?.problems, [
      {
        ...{ code: 'certificate_stale', service: 'xmpp-client' },
        ...{ target: 'chat.example.net:5222', family: 'ipv6' },
      },
    ])
    assert.deepEqual(problems, [])
    assert.deepEqual(new Set(seen), new Set(endpoints))
  })

  test('does not know which certificates another host has loaded', async (t) => {
    const check = await setUp(t, {
      loaded: new Map([['other.example', new Set(['aa'])]]),
      checkEndpoint: (endpoint) => Promise.resolve(up(endpoint, withCertificate('bb'))),
    })
    const { endpoints } = await check()
    assert.deepEqual(
      endpoints.map(({ isUp, certificate }) => [isUp, certificate?.isLoaded]),
      Array(4).fill([true, undefined]),
    )
  })

  test('reports problems of DNS, and those of several endpoints together', async (t) => {
    const options: Partial<DomainCheckOptions> = {
      checkEndpoint: (endpoint) =>
        Promise.resolve(
          endpoint.family === 'ipv4'
            ? up(endpoint)
            : up(endpoint, { isUp: false, problems: [{ code: 'connection_refused' }] }),
        ),
    }
    const check = await setUp(t, options, [
      ...RECORDS.filter(({ name }) => !name.includes('server')),
      address('example.net', '8.8.8.8'),
    ])
    const { problems } = await check()
    assert.deepEqual(problems, [
      { code: 'srv_missing', service: 'xmpp-server' },
      { code: 'ipv6_broken', family: 'ipv6', service: 'xmpp-client' },
    ])
  })

  test('does not check families that are turned off', async (t) => {
    const check = await setUp(t, { families: ['ipv4'] })
    const { endpoints, problems } = await check()
    assert.deepEqual(
      endpoints.map(({ endpoint }) => describe(endpoint)),
      ['xmpp-client ipv4', 'xmpp-server ipv4'],
    )
    assert.deepEqual(problems, [])
  })

  test('adds the checks of the web', async (t) => {
    const check = await setUp(t, {
      sides: ['client'],
      checksWeb: true,
      async checkWeb(domain, { resolver }) {
        const { records } = await resolver.addresses('chat.example.net', 'ipv4')
        return [
          up({
            ...{ domain, service: 'bosh', target: 'chat.example.net', port: 443 },
            ...{ family: 'ipv4', addresses: records },
          }),
        ]
      },
    })
    const { endpoints } = await check()
    assert.deepEqual(endpoints.at(-1)?.endpoint.addresses, ['8.8.8.8'])
    assert.equal(endpoints.length, 3)
  })

  test('an abort ends the check, after its connections', async (t) => {
    const controller = new AbortController()
    let openChecks = 0
    let isEnded = false
    const check = await setUp(t, {
      signal: controller.signal,
      checkEndpoint: (_, { signal }) => {
        openChecks++
        return new Promise((_, reject) => {
          signal.addEventListener('abort', () => {
            setImmediate(() => {
              openChecks--
              assert.equal(isEnded, false)
              reject(signal.reason as Error)
            })
          })
        })
      },
    })
    const result = check()
    await until(() => openChecks === 2, { what: 'two checks' })
    controller.abort(new Error('stopped'))
    await assert.rejects(result, /stopped/)
    isEnded = true
    assert.equal(openChecks, 0)
  })

  test('an abort ends the lookups', async (t) => {
    const controller = new AbortController()
    const { nameServer, queries } = await withFakeDns(t, () => [])
    const check = await setUp(t, { signal: controller.signal, nameServers: [nameServer] })
    const result = check()
    await until(() => queries.length >= 4, { what: 'the queries' })
    controller.abort(new Error('stopped'))
    await assert.rejects(result, /stopped/)
  })
})
