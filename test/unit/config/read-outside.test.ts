import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { formatConfig } from '../../../src/config/format-config.js'
import { configOf, problemOf, SECRET, testDirectory } from '../../support/config.js'

const ENV = { PROSODY_EXPORTER_XMPP_SECRET: SECRET }
const SERVER = ['--xmpp.domain=stats.example.com']

const outsideOf = (...flags: string[]) => configOf([...SERVER, ...flags], ENV).outside

test('without domains and remotes, there are no checks from outside', () => {
  assert.equal(outsideOf(), undefined)
  assert.equal(outsideOf('--outside.interval=1m', '--outside.allow-private'), undefined)
})

test('the defaults of the checks from outside', () => {
  assert.deepEqual(outsideOf('--outside.domains=example.com'), {
    domains: ['example.com'],
    clientDomains: [],
    serverDomains: [],
    intervalMs: 300_000,
    timeoutMs: 10_000,
    nameServers: [],
    allowPrivate: false,
    ownAddresses: [],
    s2sFrom: undefined,
    checksWeb: true,
    remotes: [],
    server: undefined,
  })
})

test('flags, variables and the configuration file set the same values', () => {
  const { file } = testDirectory()
  const path = file(
    'outside.yml',
    'outside: { domains: [Bücher.example, b.example], interval: 0, timeout: 30s, web: false,\n' +
      "  name_servers: ['::1', 192.0.2.1:5353], allow_private: true, own_addresses: [192.0.2.0/24, '2001:db8::1'],\n" +
      '  client_domains: [c.example], server_domains: [Räume.example], s2s_from: monitor.example,\n' +
      '  remotes: [Bücher.example] }\n',
  )
  const fromFile = configOf([...SERVER, `--config.file=${path}`], ENV).outside
  assert.deepEqual(fromFile, {
    domains: ['xn--bcher-kva.example', 'b.example'],
    clientDomains: ['c.example'],
    serverDomains: ['xn--rume-loa.example'],
    intervalMs: 0,
    timeoutMs: 30_000,
    nameServers: ['[::1]', '192.0.2.1:5353'],
    allowPrivate: true,
    ownAddresses: ['192.0.2.0/24', '2001:db8::1'],
    s2sFrom: 'monitor.example',
    checksWeb: false,
    // Servers compare domains with U-labels.
    remotes: ['bücher.example'],
    server: 'stats.example.com',
  })
  const fromFlags = outsideOf(
    ...['--outside.domains=Bücher.example', '--outside.domains=b.example', '--outside.interval=0'],
    ...['--outside.timeout=30s', '--outside.server-domains=räume.example', '--no-outside.web'],
    ...['--outside.name-servers=::1', '--outside.name-servers=192.0.2.1:5353'],
    ...['--outside.allow-private', '--outside.own-addresses=192.0.2.0/24'],
    ...['--outside.own-addresses=2001:db8::1', '--outside.s2s-from=monitor.example'],
    ...['--outside.remotes=Bücher.example', '--outside.client-domains=c.example'],
  )
  assert.deepEqual(fromFlags, fromFile)
  const variables = {
    PROSODY_EXPORTER_OUTSIDE_DOMAINS: 'Bücher.example, b.example',
    PROSODY_EXPORTER_OUTSIDE_INTERVAL: '2m',
  }
  const { domains, intervalMs } = configOf(SERVER, { ...ENV, ...variables }).outside!
  assert.deepEqual([domains, intervalMs], [fromFile.domains, 120_000])
})

test('a configuration with domains needs no XMPP server', () => {
  assert.deepEqual(configOf(['--outside.server-domains=rooms.example'], {}).servers, [])
  assert.deepEqual(configOf(['--outside.client-domains=meet.example'], {}).servers, [])
  const config = configOf(['--outside.domains=example.com'], {})
  assert.deepEqual(config.servers, [])
  const { file } = testDirectory()
  const path = file('outside.yml', 'outside: { domains: [example.com] }\n')
  assert.deepEqual(configOf([`--config.file=${path}`], ENV).servers, [])
  assert.match(formatConfig(config), /servers: \[\]\n[^]*outside:\n {2}domains:\n {4}- example.com/)
})

test('a flag of the server without its domain is still a mistake', () => {
  const flags = ['--outside.domains=example.com', '--xmpp.service=xmpp://127.0.0.1']
  assert.match(
    problemOf(() => configOf(flags, ENV)),
    /--xmpp\.domain is not set/,
  )
})

describe('a mistake in the settings of the checks', () => {
  const mistakes: readonly (readonly [flags: readonly string[], problem: RegExp])[] = [
    [['domains=192.0.2.1'], /expected a domain, e\.g\. example\.com, and no IP address, got "192/],
    [['domains=0x7f.1'], /no IP address/],
    [['domains=2130706433'], /no IP address/],
    [['domains=[::1]'], /no IP address/],
    [['domains=a@example.com'], /expected a domain/],
    [['domains=-a.example'], /expected a domain/],
    [[`domains=${'a'.repeat(64)}.example`], /expected a domain/],
    [['domains=a.example', 'domains=A.EXAMPLE'], /each domain once/],
    [['domains=bücher.example', 'domains=xn--bcher-kva.example'], /each domain once/],
    [['domains=a.example', 'interval=30s'], /0, or 1m to 1d/],
    [['domains=a.example', 'timeout=0s'], /1s to 60s/],
    [['domains=a.example', 'timeout=61s'], /1s to 60s/],
    [['server-domains=a.example', 'server-domains=A.EXAMPLE'], /each domain once/],
    [
      ['domains=a.example', 'server-domains=b.example', 'server-domains=A.EXAMPLE'],
      /--outside\.server-domains: expected each domain once in outside\.domains, .+, got "A/,
    ],
    [['client-domains=a.example', 'server-domains=a.example'], /each domain once in/],
    [['domains=a.example', 'name-servers=dns.example'], /IP address of a DNS server/],
    [['domains=a.example', 'name-servers=192.0.2.1:0'], /IP address of a DNS server/],
    [['domains=a.example', 'name-servers=[::1]:65536'], /IP address of a DNS server/],
    [['domains=a.example', 'own-addresses=192.0.2.0/33'], /IP address or a network/],
    [['domains=a.example', 'own-addresses=a.example'], /IP address or a network/],
    [['remotes=a.example', 'server=other'], /the name of a server/],
  ]
  for (const [settings, problem] of mistakes) {
    test(settings.join(' '), () => {
      const flags = settings.map((each) => `--outside.${each}`)
      assert.match(
        problemOf(() => outsideOf(...flags)),
        problem,
      )
    })
  }

  test('remotes without an XMPP server', () => {
    const flags = ['--outside.domains=a.example', '--outside.remotes=b.example']
    assert.match(
      problemOf(() => configOf(flags, {})),
      /--outside\.remotes: expected an XMPP server/,
    )
  })

  test('more than 10,000 domains', () => {
    const names = (count: number) => Array.from({ length: count }, (_, i) => `d${i}.example`)
    const read = (count: number) =>
      configOf(SERVER, { ...ENV, PROSODY_EXPORTER_OUTSIDE_DOMAINS: names(count).join(',') })
    assert.equal(read(10_000).outside!.domains.length, 10_000)
    assert.match(
      problemOf(() => read(10_001)),
      /at most 10000 domains/,
    )
    const flags = [...SERVER, '--outside.client-domains=one.example']
    const env = { ...ENV, PROSODY_EXPORTER_OUTSIDE_DOMAINS: names(10_000).join(',') }
    assert.match(
      problemOf(() => configOf(flags, env)),
      /at most 10000 domains/,
    )
  })
})
