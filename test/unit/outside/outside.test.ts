import assert from 'node:assert/strict'
import { after, test } from 'node:test'
import { setImmediate } from 'node:timers/promises'
import xml from '@xmpp/xml'
import { findDocumented } from '../../../src/catalogue/index.js'
import type { OutsideConfig } from '../../../src/config/read-config.js'
import { LinkError, StanzaError, TimeoutError } from '../../../src/errors.js'
import { render } from '../../../src/exposition/exposition.js'
import { family, type Family } from '../../../src/metrics/family.js'
import type { ConfiguredCheck } from '../../../src/outside/configured-check.js'
import { createOutside } from '../../../src/outside/outside.js'
import type { DomainCheck, EndpointCheck } from '../../../src/outside/outside-check.js'
import type { MonitoredServer } from '../../../src/servers/monitored-server.js'
import { createClock } from '../../support/clock.js'
import { createFakeLog } from '../../support/messaging.js'
import {
  CERTIFICATE,
  CHECKED_AT,
  createDomainCheck,
  createEndpoint,
  createEndpointCheck,
  createFailedCheck,
  createLookup,
} from '../../support/outside-checks.js'

const MINUTE = 60_000
const CONFIG: OutsideConfig = {
  domains: ['example.org'],
  intervalMs: 5 * MINUTE,
  timeoutMs: 10_000,
  clientDomains: [],
  serverDomains: [],
  nameServers: [],
  allowPrivate: false,
  ownAddresses: [],
  s2sFrom: undefined,
  checksWeb: true,
  remotes: [],
  server: undefined,
}

type Check = (
  onEndpoint: (check: EndpointCheck) => void,
  signal: AbortSignal,
) => Promise<DomainCheck>

/** Creates the feature of an exporter with the server `one`. */
function setup(first: Partial<OutsideConfig> = {}) {
  let config: OutsideConfig | undefined = { ...CONFIG, ...first }
  let check: Check = () =>
    Promise.resolve(createDomainCheck({ endpoints: [createEndpointCheck(CLIENT)] }))
  let answer = (): Promise<unknown> => Promise.resolve(xml('iq'))
  let collect = (): void => {}
  const clock = createClock()
  const log = createFakeLog()
  const counts = { checks: 0, changes: 0, pings: 0 }
  const usedSettings: Partial<OutsideConfig>[] = []
  const runs: Parameters<ConfiguredCheck>[2][] = []
  const server = {
    connection: {
      request: () => {
        counts.pings++
        return answer()
      },
    },
    scraper: {
      collectNow: () => {
        collect()
        return Promise.resolve()
      },
    },
  } as unknown as MonitoredServer
  const outside = createOutside({
    ...clock,
    config: () => config,
    log: log.log,
    findServer: (name) => (name === 'one' ? server : undefined),
    serverNames: () => ['one'],
    onChange: () => counts.changes++,
    extraCaFile: undefined,
    check: (_, settings, run) => {
      counts.checks++
      usedSettings.push(settings)
      runs.push(run)
      return check(run.onEndpoint, run.signal)
    },
  })
  after(() => {
    outside.stop()
  })
  outside.applyConfig()
  return {
    outside,
    log,
    counts,
    runs,
    usedSettings,
    setCheck: (next: Check) => {
      check = next
    },
    setAnswer: (next: () => Promise<unknown>) => {
      answer = next
    },
    setCollect: (next: () => void) => {
      collect = next
    },
    change: (next: Partial<OutsideConfig> | undefined) => {
      config = next && { ...CONFIG, ...next }
      outside.applyConfig()
    },
    advance: async (ms: number) => {
      for (let passed = 0; passed < ms; passed += 1000) {
        clock.advance(1000)
        for (let i = 0; i < 5; i++) await setImmediate()
      }
    },
    show: () => toText(outside.getFamilies()),
  }
}

const toText = (families: readonly Family[]) =>
  Buffer.from(render(families, 'text', { created: false }))
    .toString()
    .split('\n')
    .filter((line) => line !== '' && !line.startsWith('#'))

const CLIENT = createEndpoint('xmpp-client')
const ENDPOINT =
  'host="example.org",service="xmpp-client",target="xmpp.example.org:5222",family="ipv4"'

test('a result becomes the documented families, without series for unknown values', async () => {
  const { setCheck, advance, show, outside } = setup()
  setCheck(() =>
    Promise.resolve(
      createDomainCheck({
        lookups: [
          createLookup('xmpp-client'),
          createLookup('xmpps-client', 'missing'),
          createLookup('xmpp-server', 'failed'),
        ],
        problems: [{ code: 'dns_slow' }, { code: 'dns_slow' }],
        endpoints: [
          createEndpointCheck(CLIENT, [], {
            mechanisms: ['SCRAM-SHA-1-PLUS', 'plain', 'X'.repeat(21)],
          }),
          createFailedCheck(createEndpoint('xmpp-client', 'ipv6'), 'connection_timeout'),
        ],
      }),
    ),
  )
  await advance(2000)
  const ipv6 = ENDPOINT.replace('ipv4', 'ipv6')
  assert.deepEqual(show(), [
    `xmpp_domain_check_timestamp_seconds{host="example.org"} ${CHECKED_AT}`,
    `xmpp_endpoint_certificate_expiry_timestamp_seconds{${ENDPOINT}} ${CERTIFICATE.expiresAtSeconds}`,
    `xmpp_endpoint_certificate_matches_loaded{${ENDPOINT}} 1`,
    `xmpp_endpoint_connect_seconds{${ENDPOINT},phase="tcp"} 0.0121`,
    `xmpp_endpoint_connect_seconds{${ENDPOINT},phase="starttls"} 0.0244`,
    `xmpp_endpoint_connect_seconds{${ENDPOINT},phase="tls"} 0.0312`,
    `xmpp_endpoint_connect_seconds{${ENDPOINT},phase="stream"} 0.0139`,
    `xmpp_endpoint_problem{host="example.org",service="",target="",family="",problem="dns_slow",severity="warning"} 1`,
    `xmpp_endpoint_problem{${ipv6},problem="connection_timeout",severity="error"} 1`,
    `xmpp_endpoint_sasl_mechanism{${ENDPOINT},mechanism="SCRAM-SHA-1-PLUS"} 1`,
    `xmpp_endpoint_tls_info{${ENDPOINT},version="TLSv1.3",cipher="TLS_AES_256_GCM_SHA384"} 1`,
    `xmpp_endpoint_up{${ENDPOINT}} 1`,
    `xmpp_endpoint_up{${ipv6}} 0`,
    'xmpp_srv_records{host="example.org",service="xmpp-client"} 1',
    'xmpp_srv_records{host="example.org",service="xmpps-client"} 0',
  ])
  for (const { name, labels, help } of outside.getFamilies()) {
    const documented = findDocumented(name)
    assert.ok(documented, name)
    assert.equal(help, documented.meaning)
    const [first] = Buffer.from(labels.bytes.subarray(0, labels.ends[0])).toString().split(/",?$/)
    const names = Array.from(first!.matchAll(/(\w+)="/g), (match) => match[1])
    assert.deepEqual(names, documented.labels)
  }
})

test('the families are built again only after a change, or when a result becomes too old', async () => {
  const { advance, outside, setCheck, show } = setup()
  await advance(2000)
  const families = outside.getFamilies()
  assert.equal(outside.getFamilies(), families)
  assert.equal(outside.getChecks().length, 1)
  setCheck(() => new Promise(() => {}))
  await advance(16 * MINUTE)
  assert.notEqual(outside.getFamilies(), families)
  // The time of the last check stays, so that an alert can fire.
  assert.deepEqual(show(), [
    `xmpp_domain_check_timestamp_seconds{host="example.org"} ${CHECKED_AT}`,
  ])
  assert.deepEqual(outside.getChecks(), [])
})

test('a reload applies all settings, and removes the results of removed domains', async () => {
  const { advance, change, counts, outside, show, usedSettings } = setup()
  await advance(2000)
  assert.equal(counts.checks, 1)
  change({ timeoutMs: 1000 })
  await advance(2000)
  assert.deepEqual(
    usedSettings.map(({ timeoutMs }) => timeoutMs),
    [10_000, 1000],
  )
  change({ timeoutMs: 1000, domains: ['example.net'] })
  assert.deepEqual(show(), [])
  change(undefined)
  await advance(10 * MINUTE)
  assert.deepEqual(outside.getFamilies(), [])
  assert.equal(outside.probe.find('example.org'), undefined)
})

test('a domain that moves to another list is checked again, and a new domain changes nothing else', async () => {
  const { advance, change, counts, outside } = setup()
  await advance(2000)
  assert.equal(counts.checks, 1)
  change({ domains: [], clientDomains: ['example.org'] })
  await advance(2000)
  assert.equal(counts.checks, 2)
  change({ domains: [], serverDomains: ['example.org'] })
  await advance(2000)
  assert.equal(counts.checks, 3)
  change({ domains: [], serverDomains: ['example.org', 'example.net'] })
  await advance(2000)
  assert.equal(counts.checks, 4)
  assert.deepEqual(outside.probe.names(), ['example.org', 'example.net'])
  assert.ok(outside.probe.find('example.net'))
})

test('the log has one line when the problems of a domain change, without addresses', async () => {
  const { advance, log, setCheck } = setup()
  const failed = createFailedCheck(CLIENT, 'connection_timeout')
  setCheck(() => Promise.resolve(createDomainCheck({ endpoints: [failed] })))
  await advance(16 * MINUTE)
  const lines = log.take()
  assert.deepEqual(lines, [
    'warn: problems with example.org from outside: connection_timeout (xmpp-client xmpp.example.org:5222 ipv4)',
  ])
  setCheck(() => Promise.resolve(createDomainCheck({ endpoints: [createEndpointCheck(CLIENT)] })))
  await advance(30 * MINUTE)
  assert.deepEqual(log.take(), ['info: no problems with example.org from outside any more'])
})

test('/probe waits for the check, reuses its result for 30 s, and shares it', async () => {
  const { advance, counts, outside } = setup({ intervalMs: 0 })
  const { scrape } = outside.probe.find('EXAMPLE.org')!
  const [first, second] = await Promise.all([scrape(60_000), scrape(60_000)])
  assert.deepEqual(toText(first.families), toText(second.families))
  assert.ok(toText(first.families).includes('xmpp_domain_check_finished{host="example.org"} 1'))
  await advance(29_000)
  await scrape(60_000)
  assert.equal(counts.checks, 1)
  await advance(2000)
  await scrape(60_000)
  assert.equal(counts.checks, 2)
  // With an interval of 0, only /probe has the results.
  assert.deepEqual(outside.getFamilies(), [])
  assert.equal(outside.getChecks().length, 1)
})

test('/probe does not wait longer than its deadline: it serves the previous result, or the finished endpoints', async () => {
  const { advance, outside, setCheck } = setup({ intervalMs: 0 })
  const { scrape } = outside.probe.find('example.org')!
  const endpoint = createEndpoint('xmpp-server')
  setCheck((onEndpoint) => {
    onEndpoint(createEndpointCheck(endpoint))
    return new Promise(() => {})
  })
  const partial = toText((await scrape(1)).families)
  assert.ok(partial.includes('xmpp_domain_check_finished{host="example.org"} 0'))
  assert.ok(partial.some((line) => /^xmpp_endpoint_up\{.*service="xmpp-server"/.test(line)))
  assert.ok(!partial.some((line) => line.startsWith('xmpp_domain_check_timestamp')))
  // The check that hangs ends after ten minutes, with what it has found.
  await advance(11 * MINUTE)
  setCheck(() => new Promise(() => {}))
})

test('debug=true shows the conversation and the metrics, without control characters', async () => {
  const { outside, setCheck } = setup({ intervalMs: 0 })
  const check = createEndpointCheck(CLIENT, [], { transcript: ['\u001b[31mred'] })
  setCheck(() => Promise.resolve(createDomainCheck({ endpoints: [check] })))
  const text = await outside.probe.debug('example.org', 60_000)
  assert.match(text, /# xmpp-client xmpp\.example\.org:5222 ipv4: up\n\ufffd\[31mred\n/)
  assert.match(text, /xmpp_endpoint_up\{/)
})

test('all spellings of a domain have one source, and other texts have none', () => {
  const { outside } = setup({ intervalMs: 0 })
  const source = outside.probe.find('example.org')
  assert.ok(source)
  assert.equal(outside.probe.find('EXAMPLE.org.'), source)
  for (const target of [
    '',
    'example.org/1',
    'example.org?1',
    '%65xample.org',
    'exam\nple.org',
    'example.org#',
  ]) {
    assert.equal(outside.probe.find(target), undefined, target)
  }
})

test('a check that does not end in ten minutes is incomplete, and has the endpoints that it checked', async () => {
  const { advance, outside, setCheck, show } = setup()
  setCheck((onEndpoint, signal) => {
    onEndpoint(createEndpointCheck(CLIENT))
    return new Promise((_, reject) => {
      signal.addEventListener('abort', () => {
        reject(signal.reason as Error)
      })
    })
  })
  await advance(9 * MINUTE)
  assert.deepEqual(outside.getChecks(), [])
  await advance(2 * MINUTE)
  const [check] = outside.getChecks()
  assert.deepEqual(check?.problems, [{ code: 'check_incomplete' }])
  assert.ok(show().includes(`xmpp_endpoint_up{${ENDPOINT}} 1`))
})

const certificateInfo = (sha256: string) =>
  family('gauge', 'xmpp_certificate_info', 'x', [
    { labels: { host: 'example.org', service: '', sha256 }, value: 1 },
  ])

test('a certificate that the server loaded after the last collection is not stale', async () => {
  const { advance, outside, runs, setCheck, setCollect, show } = setup()
  const [old, renewed] = ['a'.repeat(64), 'b'.repeat(64)]
  outside.onCollection('one', [certificateInfo(old)])
  const stale = createEndpointCheck(CLIENT, ['certificate_stale'], {
    certificate: { ...CERTIFICATE, sha256: renewed, isLoaded: false },
  })
  setCheck(() => Promise.resolve(createDomainCheck({ endpoints: [stale] })))
  await advance(2000)
  assert.deepEqual([...runs[0]!.loaded.get('example.org')!], [old])
  const matches = `xmpp_endpoint_certificate_matches_loaded{${ENDPOINT}}`
  assert.ok(show().includes(`${matches} 0`))
  setCollect(() => {
    outside.onCollection('one', [certificateInfo(renewed)])
  })
  for (let i = 0; i < 3; i++) {
    outside.onCollection('one', [certificateInfo(old)])
    await advance(4 * MINUTE)
  }
  assert.ok(show().includes(`${matches} 1`))
  assert.ok(!show().some((line) => line.includes('certificate_stale')))
})

const REMOTES = { domains: [], remotes: ['r.example'], server: 'one' }
const UP = 'xmpp_s2s_ping_up{remote="r.example"}'

for (const [what, answer, isUp] of [
  ['an answer', () => Promise.resolve(xml('iq')), 1],
  [
    'an error of the remote server',
    () => Promise.reject(new StanzaError('service-unavailable', 'cancel', '')),
    1,
  ],
  ['no answer', () => Promise.reject(new TimeoutError('no reply')), 0],
  [
    'remote-server-not-found',
    () => Promise.reject(new StanzaError('remote-server-not-found', 'cancel', '')),
    0,
  ],
  [
    'remote-server-timeout',
    () => Promise.reject(new StanzaError('remote-server-timeout', 'wait', '')),
    0,
  ],
  [
    'a refusal of the own server',
    () =>
      Promise.reject(
        new StanzaError(
          'not-allowed',
          'cancel',
          'Communication with remote domains is not enabled',
        ),
      ),
    0,
  ],
] as const) {
  test(`a remote server that is pinged: ${what}`, async () => {
    const { advance, counts, setAnswer, show } = setup(REMOTES)
    setAnswer(answer)
    await advance(2000)
    assert.equal(counts.pings, 1)
    assert.equal(show()[isUp], `${UP} ${isUp}`)
    assert.equal(
      show().some((line) => line.startsWith('xmpp_s2s_ping_seconds')),
      isUp === 1,
    )
  })
}

test('without a stream, nothing is known about a remote server until the next login', async () => {
  const { advance, outside, setAnswer, show } = setup(REMOTES)
  setAnswer(() => Promise.reject(new LinkError('no stream')))
  await advance(2000)
  assert.deepEqual(show(), [])
  setAnswer(() => Promise.resolve(xml('iq')))
  outside.onOnline('two')
  await advance(2000)
  assert.deepEqual(show(), [])
  outside.onOnline('one')
  await advance(2000)
  assert.equal(show()[1], `${UP} 1`)
})
