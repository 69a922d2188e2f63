import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { formatOutsideVerdict } from '../../../../src/cli/outside/found-problems.js'
import {
  outsideCommand,
  type OutsideCommandOptions,
} from '../../../../src/cli/outside/outside-command.js'
import { ConfigError } from '../../../../src/errors.js'
import type { DomainCheck } from '../../../../src/outside/outside-check.js'
import {
  CERTIFICATE,
  CHECKED_AT,
  createDomainCheck,
  createEndpoint,
  createEndpointCheck,
  createFailedCheck,
  createLookup,
  FAULTY,
  HEALTHY,
  NOT_FOUND,
} from '../../../support/outside-checks.js'

const BOTH = ['client', 'server'] as const
const FAMILIES = ['ipv4', 'ipv6'] as const

/** Runs the command with the result of a check. */
async function run(check: DomainCheck, ...args: string[]) {
  let out = ''
  const progress: string[] = []
  const given: Parameters<OutsideCommandOptions['check']>[0][] = []
  const exitCode = await outsideCommand([check.domain, ...args], {
    print: (text) => (out += text),
    showProgress: (text) => progress.push(text),
    findFamilies: () => FAMILIES,
    check: (flags, onEndpoint) => {
      given.push(flags)
      for (const each of check.endpoints) onEndpoint(each)
      return Promise.resolve(check)
    },
  })
  return { exitCode, out, progress, flags: given[0] }
}

/** Returns the lines of a section of the report, without their indentation. */
function sectionOf(out: string, title: string): string[] {
  const [, after = ''] = out.split(`\n\n${title}:\n`)
  return after
    .split('\n\n')[0]!
    .split('\n')
    .map((line) => line.trim())
}

describe('the first line says whether clients and servers can connect', () => {
  const clientUp = createEndpointCheck(createEndpoint('xmpp-client'))
  const serverUp = createEndpointCheck(createEndpoint('xmpp-server'))
  const clientDown = createFailedCheck(createEndpoint('xmpps-client'), 'connection_refused')
  const serverDown = createFailedCheck(createEndpoint('xmpp-server'), 'connection_refused')
  const verdictOf = (
    changes: Partial<DomainCheck>,
    sides: Parameters<typeof formatOutsideVerdict>[1] = BOTH,
  ) => formatOutsideVerdict(createDomainCheck(changes), sides)

  test('everything works', () => {
    assert.equal(
      formatOutsideVerdict(HEALTHY, BOTH),
      'All good: clients and other servers can connect to example.org.',
    )
    assert.equal(
      formatOutsideVerdict(HEALTHY, ['server']),
      'All good: other servers can connect to example.org.',
    )
  })

  test('there are warnings', () => {
    assert.equal(
      verdictOf({
        endpoints: [clientUp, serverUp],
        problems: [{ code: 'srv_missing', service: 'xmpp-server' }],
      }),
      'Working, with 1 warning: clients and other servers can connect to example.org.',
    )
    assert.equal(
      verdictOf({
        endpoints: [clientUp],
        problems: [{ code: 'service_not_offered', service: 'xmpp-server' }],
      }),
      'Working, with 1 warning: clients can connect to example.org, other servers cannot.',
    )
  })

  test('a part does not work', () => {
    assert.equal(
      verdictOf({ endpoints: [clientUp, serverDown] }),
      'Partly working, with 1 error: clients can connect to example.org, other servers cannot.',
    )
    assert.equal(
      verdictOf({ endpoints: [clientUp, clientDown, serverUp] }),
      'Partly working, with 1 error: clients and other servers can connect to example.org, but not at every endpoint.',
    )
  })

  test('nothing works', () => {
    assert.equal(
      verdictOf({ endpoints: [clientDown, serverDown] }),
      'Not working, with 2 errors: neither clients nor other servers can connect to example.org.',
    )
    assert.equal(
      verdictOf({ endpoints: [clientDown] }, ['client']),
      'Not working, with 1 error: clients cannot connect to example.org.',
    )
  })

  test('DNS says that neither service exists', () => {
    const problems = (['xmpp-client', 'xmpp-server'] as const).map(
      (service) => ({ code: 'service_not_offered', service }) as const,
    )
    assert.equal(
      verdictOf({ endpoints: [], problems }),
      'Not working, with 2 warnings: neither clients nor other servers can connect to example.org.',
    )
  })

  test('a domain with letters outside ASCII is shown in both forms', () => {
    assert.match(
      verdictOf({ domain: 'xn--bcher-kva.example', endpoints: [clientUp, serverUp] }),
      / bücher\.example \(xn--bcher-kva\.example\)\.$/,
    )
  })
})

test('the report of a healthy domain shows DNS and each endpoint in aligned columns', async () => {
  const { exitCode, out } = await run(HEALTHY)
  assert.equal(exitCode, 0)
  assert.deepEqual(sectionOf(out, 'DNS')[1], '_xmpps-client._tcp.example.org  1 record  8 ms')
  assert.deepEqual(sectionOf(out, 'Endpoints for clients'), [
    'Target                 Family  Service     Result  TLS      Certificate expires   Time',
    'xmpp.example.org:5222  IPv4    STARTTLS    ok      TLSv1.3  2026-11-20 (60 days)  82 ms',
    'xmpp.example.org:5222  IPv6    STARTTLS    ok      TLSv1.3  2026-11-20 (60 days)  82 ms',
    'xmpp.example.org:5223  IPv4    direct TLS  ok      TLSv1.3  2026-11-20 (60 days)  57 ms',
    'xmpp.example.org:5223  IPv6    direct TLS  ok      TLSv1.3  2026-11-20 (60 days)  57 ms',
    'Authentication: SCRAM-SHA-1, SCRAM-SHA-1-PLUS, PLAIN',
    'Channel binding: tls-exporter',
    "Certificate: example.org, conference.example.org; issued by Let's Encrypt R13; SHA-256 a1a1a1a1a1a1a1a1…",
  ])
  assert.equal(sectionOf(out, 'Endpoints for other servers')[5], 'Authentication: dialback')
  assert.equal(sectionOf(out, 'Web endpoints').length, 8)
  assert.doesNotMatch(out, /Error:|Warning:|Restart/)
  assert.match(out, /\n\nIf Prosody runs on this machine, .* another machine too\. .*\n$/)
})

test('the report of a server that accepts only servers with a certificate shows this, and nothing that is unknown', async () => {
  const found = { requiresCertificate: true, mechanisms: [], channelBindings: [] } as const
  const endpoints = [createEndpointCheck(createEndpoint('xmpp-server'), [], found)]
  const { out } = await run(createDomainCheck({ endpoints }), '--sides=server')
  const lines = sectionOf(out, 'Endpoints for other servers').slice(2)
  assert.equal(lines[0], 'Authentication: only for servers with a certificate')
  assert.match(lines[1]!, /^Certificate: /)
  const json = await run(createDomainCheck({ endpoints }), '--json')
  assert.match(json.out, /"requires_certificate": ?true/)
})

test('the report of a faulty domain shows the problems after the endpoints, the errors first', async () => {
  const { exitCode, out } = await run(FAULTY)
  assert.equal(exitCode, 1)
  assert.deepEqual(sectionOf(out, 'DNS'), [
    '_xmpp-client._tcp.example.org   2 records                 8 ms',
    '_xmpps-client._tcp.example.org  1 record                  8 ms',
    '_xmpp-server._tcp.example.org   no record                 8 ms',
    '_xmpps-server._tcp.example.org  not offered (target ".")  8 ms',
  ])
  const endpoints = sectionOf(out, 'Endpoints for clients')
  assert.match(endpoints[1]!, / IPv4 +STARTTLS +warning +TLSv1\.3 +2026-09-24 \(3 days\) +82 ms$/)
  assert.match(endpoints[2]!, / IPv6 +STARTTLS +FAILED +- +- +-$/)
  assert.match(endpoints[8]!, /SHA-256 (?:b2)+… \(xmpp\.example\.org:5223 IPv4\)$/)
  const severities = Array.from(out.matchAll(/^(Error|Warning): /gm), ([, word]) => word)
  assert.deepEqual(severities, [
    ...Array<string>(6).fill('Error'),
    ...Array<string>(5).fill('Warning'),
  ])
  assert.match(
    out,
    /^Error: Port 5222 of xmpp\.example\.org over IPv6 does not answer.*\n {2}Open TCP port 5222 for IPv6 /m,
  )
  assert.match(
    out,
    /^ {2}If no other servers .* Otherwise, add this record to DNS.* 3600 IN SRV 5 0 5269 example\.org\.$/m,
  )
})

test('a domain without endpoints has no section of endpoints', async () => {
  const { exitCode, out } = await run(NOT_FOUND)
  assert.equal(exitCode, 1)
  assert.doesNotMatch(out, /ndpoints/)
  assert.match(out, /^Error: example\.org has no SRV records for XMPP and no addresses\.$/m)
})

test('problems with the same remedy share it', async () => {
  const families = ['ipv4', 'ipv6'] as const
  const endpoints = families.map((family) =>
    createEndpointCheck(createEndpoint('xmpp-client', family), ['certificate_expired']),
  )
  const { out } = await run(createDomainCheck({ endpoints }))
  assert.match(
    out,
    /^Error: .* over IPv4 has expired\.\nError: .* over IPv6 has expired\.\n {2}Renew /m,
  )
  assert.equal(out.match(/Renew it/g)?.length, 1)
})

test('a check with warnings only has the exit code 0', async () => {
  const problems = [{ code: 'srv_missing', service: 'xmpp-server' }] as const
  const { exitCode } = await run(createDomainCheck({ problems }))
  assert.equal(exitCode, 0)
})

test('text from the network cannot control the terminal', async () => {
  const problems = [{ code: 'stream_error', detail: '\u001b[2J\u202e\r\n' }] as const
  const certificate = { ...CERTIFICATE, issuer: 'evil\u009b31m' }
  const endpoints = [createEndpointCheck(createEndpoint('xmpp-client'), [], { certificate })]
  const { out } = await run(createDomainCheck({ problems, endpoints }), '--verbose')
  assert.doesNotMatch(out.replaceAll('\n', ''), /[\p{Cc}\p{Cf}]/u)
  assert.match(out, /\\u\{1b\}\[2J/)
})

test('--verbose shows the conversations and durations', async () => {
  const endpoints = [
    createEndpointCheck(createEndpoint('xmpp-client')),
    createFailedCheck(createEndpoint('xmpp-client', 'ipv6'), 'connection_refused'),
  ]
  const { out } = await run(createDomainCheck({ endpoints }), '--verbose')
  assert.deepEqual(sectionOf(out, 'xmpp-client at xmpp.example.org:5222 over IPv4'), [
    'Addresses: 192.0.2.10',
    'Durations: tcp 12 ms, starttls 24 ms, tls 31 ms, stream 14 ms',
    'connected',
    "sent: <stream:stream to='example.org'>",
    'closed',
  ])
  assert.deepEqual(sectionOf(out, 'xmpp-client at xmpp.example.org:5222 over IPv6'), [
    'Addresses: 2001:db8::10',
    'not connected',
  ])
  assert.doesNotMatch((await run(createDomainCheck({ endpoints }))).out, /not connected/)
})

describe('--json', () => {
  test('has the problems with their texts and the labels of the metric', async () => {
    const { exitCode, out } = await run(FAULTY, '--json')
    const json = JSON.parse(out) as Record<string, Record<string, unknown>[]>
    assert.equal(exitCode, 1)
    assert.equal(json['ok'], false)
    assert.equal(json['problems']!.length, 11)
    assert.deepEqual(
      json['problems']!.find(({ code }) => code === 'web_status'),
      {
        code: 'web_status',
        severity: 'error',
        cause:
          'The BOSH service on port 443 of xmpp.example.org over IPv4 answers with an HTTP error (404).',
        remedy:
          'Let the web server pass /http-bind to port 5280 of Prosody, with the host name of the request. Also add "bosh" to modules_enabled in prosody.cfg.lua.',
        labels: {
          host: 'example.org',
          service: 'bosh',
          target: 'xmpp.example.org:443',
          family: 'ipv4',
        },
        detail: '404',
      },
    )
  })

  test('has each lookup and endpoint', async () => {
    const endpoints = [createEndpointCheck(createEndpoint('xmpp-server', 'ipv6'))]
    const lookups = [createLookup('xmpp-server', 'found', 2)]
    const { exitCode, out } = await run(createDomainCheck({ endpoints, lookups }), '--json')
    assert.equal(exitCode, 0)
    assert.deepEqual(JSON.parse(out), {
      domain: 'example.org',
      ok: true,
      started: '2026-09-21T15:06:38.000Z',
      ended: new Date(CHECKED_AT * 1000).toISOString(),
      families: FAMILIES,
      problems: [],
      srv: [{ service: 'xmpp-server', state: 'found', records: 2, seconds: 0.0083 }],
      endpoints: [
        {
          service: 'xmpp-server',
          target: 'xmpp.example.org',
          port: 5269,
          family: 'ipv6',
          addresses: ['2001:db8::10'],
          up: true,
          problems: [],
          seconds: { tcp: 0.0121, starttls: 0.0244, tls: 0.0312, stream: 0.0139 },
          tls: { version: 'TLSv1.3', cipher: 'TLS_AES_256_GCM_SHA384' },
          certificate: {
            sha256: 'a1'.repeat(32),
            names: ['example.org', 'conference.example.org'],
            issuer: "Let's Encrypt R13",
            expires: '2026-11-20T15:06:40.000Z',
          },
          mechanisms: [],
          dialback: true,
        },
      ],
    })
  })

  test('has the conversations with --verbose only', async () => {
    const endpoints = [createEndpointCheck(createEndpoint('xmpp-client'))]
    const transcriptOf = async (...args: string[]) => {
      const { out } = await run(createDomainCheck({ endpoints }), '--json', ...args)
      return (JSON.parse(out) as DomainCheck).endpoints[0]!.transcript
    }
    assert.equal(await transcriptOf(), undefined)
    assert.deepEqual(await transcriptOf('--verbose'), endpoints[0]!.transcript)
  })
})

test('the progress names each checked endpoint, and is cleared at the end', async () => {
  const endpoints = [createEndpointCheck(createEndpoint('xmpp-client', 'ipv6'))]
  const { progress } = await run(createDomainCheck({ endpoints }))
  assert.deepEqual(progress, [
    'Looking up example.org…',
    'Checked xmpp.example.org:5222 over IPv6…',
    '',
  ])
})

test('the flags reach the check', async () => {
  const { flags } = await run(HEALTHY, '--sides=server', '--no-web')
  assert.deepEqual(flags!.sides, ['server'])
  assert.equal(flags!.checksWeb, false)
})

test('an aborted check prints nothing and clears the progress', async () => {
  const reason = new Error('aborted')
  const progress: string[] = []
  const running = outsideCommand(['example.org'], {
    print: () => assert.fail('printed'),
    showProgress: (text) => progress.push(text),
    findFamilies: () => FAMILIES,
    check: () => Promise.reject(reason),
  })
  await assert.rejects(running, reason)
  assert.equal(progress.at(-1), '')
})

test('wrong arguments start no check', async () => {
  const running = outsideCommand(['user@example.org'], {
    print: () => assert.fail('printed'),
    findFamilies: () => FAMILIES,
    check: () => assert.fail('checked'),
  })
  await assert.rejects(running, ConfigError)
})

test('the address families of the machine limit the check, and the report says so', async () => {
  const flags: unknown[] = []
  let out = ''
  const options = {
    print: (text: string) => (out += text),
    findFamilies: ({ allowPrivate }) => (allowPrivate ? FAMILIES : ['ipv4']),
    check: (given) => {
      flags.push(given.families)
      return Promise.resolve(HEALTHY)
    },
  } satisfies OutsideCommandOptions
  await outsideCommand(['example.org'], options)
  assert.match(
    out,
    /\n\nThis machine has no IPv6 address, so the check did not connect over IPv6\. /,
  )
  await outsideCommand(['example.org', '--allow-private'], options)
  assert.deepEqual(flags, [['ipv4'], FAMILIES])
})
