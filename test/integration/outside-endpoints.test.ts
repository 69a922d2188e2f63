// Checks endpoints of real servers from outside: Prosody and ejabberd, with all four services.

import assert from 'node:assert/strict'
import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test, type TestContext } from 'node:test'
import type { EndpointCheck, SrvService } from '../../src/outside/outside-check.js'
import { withEjabberd } from '../support/ejabberd.js'
import {
  createLeaf,
  createTestTrust,
  DOMAIN,
  probe,
  problemsOf,
  testAuthorities,
} from '../support/outside-endpoint.js'
import { prosodyVersions, withProsody, type ProsodyConfig } from '../support/prosody.js'
import { freePorts, temporaryDirectory, until } from '../support/setup/process.js'

type Ports = Readonly<Record<SrvService, number>>

const trust = await createTestTrust()

/** Writes a certificate for the domain and its key. Returns the directory. */
async function writeCertificate(t: TestContext): Promise<string> {
  const directory = await temporaryDirectory('prosody-exporter-outside')
  t.after(() => directory.remove())
  const certs = join(directory.path, 'certs')
  await mkdir(certs)
  const { cert, key } = createLeaf()
  const chain = cert + testAuthorities.intermediate.cert
  await writeFile(join(certs, `${DOMAIN}.crt`), chain)
  await writeFile(join(certs, `${DOMAIN}.key`), key)
  await writeFile(join(certs, 'both.pem'), chain + key)
  return certs
}

async function startProsody(
  t: TestContext,
  version: (typeof prosodyVersions)[number],
  changes: ProsodyConfig = {},
) {
  const [direct = 0, directServer = 0] = await freePorts(2)
  const prosody = await withProsody(t, {
    version,
    hosts: [DOMAIN],
    statsDomains: [`stats.${DOMAIN}`],
    tlsPorts: { c2s_direct_tls: direct, s2s_direct_tls: directServer },
    ...changes,
    globals: {
      certificates: JSON.stringify(await writeCertificate(t)),
      c2s_require_encryption: 'true',
      s2s_require_encryption: 'true',
      ...changes.globals,
    },
  })
  const ports: Ports = {
    'xmpp-client': prosody.ports.c2s,
    'xmpps-client': direct,
    'xmpp-server': prosody.ports.s2s,
    'xmpps-server': directServer,
  }
  return { prosody, ports }
}

const check = (ports: Ports, service: SrvService, more: { readonly domain?: string } = {}) =>
  probe({ trust, service, port: ports[service], ...more })

const ALL: readonly SrvService[] = ['xmpp-client', 'xmpps-client', 'xmpp-server', 'xmpps-server']

function assertHealthy(result: EndpointCheck): void {
  const { service } = result.endpoint
  const shown = result.transcript.join('\n')
  assert.deepEqual(problemsOf(result), [], `${service}\n${shown}`)
  assert.equal(result.isUp, true)
  assert.match(result.tls?.version ?? '', /^TLSv1\.[23]$/)
  assert.deepEqual(result.certificate?.names, [DOMAIN])
  assert.ok(result.seconds.stream !== undefined)
  if (service.endsWith('client')) {
    assert.ok(result.mechanisms?.includes('SCRAM-SHA-1'), shown)
    assert.equal(result.offersDialback, undefined)
  } else assert.equal(result.offersDialback, true)
}

const codes = ({ problems }: EndpointCheck) => problems.map(({ code }) => code)

for (const version of prosodyVersions) {
  test(`all services of Prosody ${version} are healthy, and it sees orderly ends`, async (t) => {
    const { prosody, ports } = await startProsody(t, version, { logLevel: 'debug' })
    for (const service of ALL) assertHealthy(await check(ports, service))
    const { channelBindings } = await check(ports, 'xmpps-client')
    if (version !== '0.12.3') assert.ok(channelBindings?.includes('tls-exporter'))
    await until(() => /Received <\/stream:stream>|c2s stream.*closed/i.test(prosody.log()), {
      what: 'Prosody logs the end of a stream',
    })
    assert.doesNotMatch(prosody.log(), /Traceback|error\s.*c2s/)
  })

  test(`faults of Prosody ${version} are named`, async (t) => {
    const { ports } = await startProsody(t, version)
    const swapped: Ports = {
      'xmpp-client': ports['xmpp-server'],
      'xmpp-server': ports['xmpp-client'],
      'xmpps-client': ports['xmpps-server'],
      'xmpps-server': ports['xmpps-client'],
    }
    const crossed: Ports = {
      'xmpp-client': ports['xmpps-client'],
      'xmpp-server': ports['xmpps-server'],
      'xmpps-client': ports['xmpp-client'],
      'xmpps-server': ports['xmpp-server'],
    }
    const unknown = { domain: 'unknown.example' }
    const found: Record<string, unknown> = {}
    for (const service of ALL) {
      found[`${service} swapped`] = codes(await check(swapped, service)).at(-1)
      found[`${service} crossed`] = codes(await check(crossed, service))
      found[`${service} unknown`] = codes(await check(ports, service, unknown)).at(-1)
    }
    assert.deepEqual(found, {
      'xmpp-client swapped': 'wrong_service',
      'xmpp-client crossed': ['tls_unexpected'],
      'xmpp-client unknown': 'host_unknown',
      'xmpps-client swapped': 'wrong_service',
      'xmpps-client crossed': ['tls_missing'],
      'xmpps-client unknown': 'host_unknown',
      'xmpp-server swapped': 'wrong_service',
      'xmpp-server crossed': ['tls_unexpected'],
      'xmpp-server unknown': 'host_unknown',
      'xmpps-server swapped': 'wrong_service',
      'xmpps-server crossed': ['tls_missing'],
      'xmpps-server unknown': 'host_unknown',
    })
  })

  test(`Prosody ${version} without a certificate, and with mechanisms before TLS`, async (t) => {
    const { ports } = await startProsody(t, version, {
      globals: { c2s_require_encryption: 'false' },
    })
    const optional = await check(ports, 'xmpp-client')
    assert.deepEqual(codes(optional), ['starttls_optional'])
    assert.equal(optional.isUp, true)
    const none = await startProsody(t, version, { globals: { certificates: '"/nonexistent"' } })
    // Prosody offers STARTTLS, but it has nothing to send.
    const failed = await check(none.ports, 'xmpp-client')
    assert.deepEqual(problemsOf(failed), ['tls_failed: alert handshake failure'])
  })

  test(`Prosody ${version} accepts only servers with a certificate: as a stream error, or without dialback`, async (t) => {
    for (const globals of [{ s2s_secure_auth: 'true' }, { modules_disabled: '{ "dialback" }' }]) {
      const { ports } = await startProsody(t, version, { globals })
      for (const service of ['xmpp-server', 'xmpps-server'] as const) {
        const result = await check(ports, service)
        const shown = result.transcript.join('\n')
        assert.deepEqual(codes(result), [], shown)
        assert.equal(result.requiresCertificate, true)
      }
    }
  })

  test(`Prosody ${version} without SASL`, async (t) => {
    const { ports } = await startProsody(t, version, {
      globals: { modules_disabled: '{ "saslauth" }' },
    })
    for (const service of ['xmpp-client', 'xmpps-client'] as const) {
      const result = await check(ports, service)
      assert.deepEqual(codes(result), ['mechanisms_missing'], result.transcript.join('\n'))
    }
  })

  test(`Prosody ${version} answers a server that says its name`, async (t) => {
    const { ports } = await startProsody(t, version)
    const request = { trust, service: 'xmpp-server', port: ports['xmpp-server'] } as const
    assertHealthy(await probe({ ...request, s2sFrom: 'asking.example' }))
  })
}

test('all services of ejabberd are healthy', async (t) => {
  const certs = await writeCertificate(t)
  const [client = 0, direct = 0, server = 0, directServer = 0] = await freePorts(4)
  const listen = { ip: '127.0.0.1', tls_compression: false }
  await withEjabberd(t, {
    version: '24.12',
    users: { [`one@${DOMAIN}`]: 'secret' },
    options: {
      certfiles: [join(certs, 'both.pem')],
      s2s_use_starttls: 'required',
      listen: [
        {
          ...listen,
          port: client,
          module: 'ejabberd_c2s',
          starttls: true,
          starttls_required: true,
        },
        { ...listen, port: direct, module: 'ejabberd_c2s', tls: true },
        { ...listen, port: server, module: 'ejabberd_s2s_in' },
        { ...listen, port: directServer, module: 'ejabberd_s2s_in', tls: true },
      ],
    },
  })
  const ports: Ports = {
    'xmpp-client': client,
    'xmpps-client': direct,
    'xmpp-server': server,
    'xmpps-server': directServer,
  }
  for (const service of ALL) assertHealthy(await check(ports, service))
  const swapped = { ...ports, 'xmpp-client': server, 'xmpp-server': client }
  assert.equal(codes(await check(swapped, 'xmpp-client')).at(-1), 'wrong_service')
  assert.equal(codes(await check(swapped, 'xmpp-server')).at(-1), 'wrong_service')
  for (const service of ALL) {
    const unknown = await check(ports, service, { domain: 'unknown.example' })
    assert.equal(codes(unknown).at(-1), 'host_unknown', unknown.transcript.join('\n'))
  }
})
