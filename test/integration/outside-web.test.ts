// Checks host-meta, BOSH and WebSocket of real Prosody servers. Prosody 0.12 serves no host-meta itself, so a small web
// server does, as in most installations. Prosody 13.0 has mod_http_altconnect.

import assert from 'node:assert/strict'
import { mkdir, readFile } from 'node:fs/promises'
import { connect } from 'node:net'
import { join } from 'node:path'
import { test, type TestContext } from 'node:test'
import { createConnectionLimit } from '../../src/outside/connection-limit.js'
import type { Resolver } from '../../src/outside/dns/resolver.js'
import type { EndpointCheck } from '../../src/outside/outside-check.js'
import { createTrustStore } from '../../src/outside/probe/trust-store.js'
import { checkWeb } from '../../src/outside/web/check-web.js'
import { prosodyVersions, withProsody, type TestProsody, type Version } from '../support/prosody.js'
import { freePort, temporaryDirectory, until } from '../support/setup/process.js'
import { createAuthority } from '../support/web.js'
import { serveSite, type Accept, type Respond } from '../support/web-endpoints.js'

const HOST = 'one.example'

/** A resolver that knows the address of HOST, and nothing else. */
const RESOLVER: Resolver = {
  srv: () => Promise.resolve({ state: 'no_data', records: [], seconds: 0 }),
  alias: () => Promise.resolve({ state: 'no_data', records: [], seconds: 0 }),
  addresses: (name, family) =>
    Promise.resolve(
      name === HOST && family === 'ipv4'
        ? { state: 'found', records: ['127.0.0.1'], seconds: 0 }
        : { state: 'no_data', records: [], seconds: 0 },
    ),
  close() {},
}

async function start(t: TestContext, version: Version, globals: Readonly<Record<string, string>>) {
  const directory = await temporaryDirectory('prosody-exporter-web')
  t.after(() => directory.remove())
  const certs = join(directory.path, 'certs')
  await mkdir(certs)
  const authority = await createAuthority(certs, 'authority')
  await authority.issue(HOST, `DNS:${HOST}`)
  const https = await freePort()
  const prosody = await withProsody(t, {
    version,
    hosts: [HOST],
    modules: ['bosh', 'websocket', ...(version === '0.12.3' ? [] : ['http_altconnect'])],
    tlsPorts: { https },
    globals: {
      certificates: JSON.stringify(certs),
      c2s_require_encryption: 'true',
      allow_unencrypted_plain_auth: 'false',
      ...globals,
    },
    logLevel: 'debug',
  })
  const [cert, key] = await Promise.all(
    ['crt', 'key'].map((suffix) => readFile(join(certs, `${HOST}.${suffix}`), 'utf8')),
  )
  const trust = createTrustStore({ extraFile: authority.file })
  return { prosody, https, certificate: { cert: cert!, key: key! }, trust }
}

const check = (
  domain: string,
  hostMetaPort: number,
  trust: ReturnType<typeof createTrustStore>,
): Promise<readonly EndpointCheck[]> =>
  checkWeb(domain, {
    resolver: { ...RESOLVER, addresses: (name, family) => RESOLVER.addresses(name === domain ? HOST : name, family) }, // prettier-ignore
    allowPrivate: true,
    limit: createConnectionLimit({ isOwn: () => true, perMinute: 2 }),
    trust,
    timeoutMs: 60_000,
    signal: new AbortController().signal,
    hostMetaPort,
  })

/** The problems of the checks, except that the certificates of the tests expire soon. */
const problemsOf = (checks: readonly EndpointCheck[]) =>
  checks.map(({ endpoint, problems }) => [
    endpoint.service,
    ...problems.map(({ code }) => code).filter((code) => code !== 'certificate_expires_soon'),
  ])

/** Serves a host-meta in XML that announces the services at a port of HOST. */
const announce =
  (getPort: () => number): Respond =>
  (request, response) => {
    if (request.url !== '/.well-known/host-meta') {
      response.writeHead(404).end()
      return
    }
    response.end(
      `<?xml version="1.0"?><XRD xmlns="http://docs.oasis-open.org/ns/xri/xrd-1.0">` +
        `<Link rel="urn:xmpp:alt-connections:xbosh" href="https://${HOST}:${getPort()}/http-bind"/>` +
        `<Link rel="urn:xmpp:alt-connections:websocket" href="wss://${HOST}:${getPort()}/xmpp-websocket"/>` +
        `</XRD>`,
    )
  }

/** Forwards requests to the HTTP port of a Prosody, as a proxy does that ends TLS. */
const forwardTo = (prosody: TestProsody): { readonly http: Respond; readonly upgrade: Accept } => ({
  http(request, response, body) {
    const url = `http://127.0.0.1:${prosody.ports.http}${request.url ?? ''}`
    const forwarded = fetch(url, { method: request.method ?? '', ...(body !== '' && { body }) })
    void forwarded.then(async (answer) => {
      response.writeHead(answer.status).end(await answer.text())
    })
  },
  upgrade(socket, request) {
    const lines = Object.entries(request.headers).map(
      ([name, value]) => `${name}: ${String(value)}`,
    )
    const behind = connect(prosody.ports.http, '127.0.0.1')
    behind.on('error', () => socket.destroy())
    socket.on('error', () => behind.destroy())
    behind.write(`GET ${request.url ?? ''} HTTP/1.1\r\n${lines.join('\r\n')}\r\n\r\n`)
    behind.pipe(socket).pipe(behind)
  },
})

for (const version of prosodyVersions) {
  test(`Prosody ${version}: host-meta, BOSH and WebSocket are up`, async (t) => {
    const { prosody, https, certificate, trust } = await start(t, version, {})
    const site = await serveSite(t, { certificate, http: announce(() => https) })
    // mod_http_altconnect is part of Prosody 13.0.
    const checks = await check(HOST, version === '0.12.3' ? site.port : https, trust)
    assert.deepEqual(problemsOf(checks), [['host-meta'], ['bosh'], ['websocket']])
    for (const { endpoint, isUp, mechanisms, tls, certificate: sent } of checks) {
      assert.ok(isUp)
      assert.equal(tls?.version, 'TLSv1.3')
      assert.deepEqual(sent?.names, [HOST])
      if (endpoint.service !== 'host-meta') assert.ok(mechanisms?.includes('SCRAM-SHA-1'))
    }
    // Both sessions end in order, and not after a period of inactivity.
    await until(() => /BOSH client disconnected: session close/.test(prosody.log()), {
      what: 'the BOSH session has ended',
    })
    await until(() => /c2s stream for .* closed: session closed/.test(prosody.log()), {
      what: 'the WebSocket session has ended',
    })
    assert.doesNotMatch(prosody.log(), /\b(?:warn|error)\t(?!.*(?:certificate|statistics|admin))/i)
  })

  test(`Prosody ${version}: a domain that the server does not serve`, async (t) => {
    const { https, certificate, trust } = await start(t, version, {})
    const site = await serveSite(t, { certificate, http: announce(() => https) })
    assert.deepEqual(problemsOf(await check('other.example', site.port, trust)), [
      ['host-meta', 'certificate_wrong_name'],
      ['bosh', 'host_unknown'],
      ['websocket', 'host_unknown'],
    ])
  })

  test(`Prosody ${version}: behind a proxy that it does not consider secure`, async (t) => {
    const { prosody, certificate, trust } = await start(t, version, {})
    const proxy = await serveSite(t, { certificate, ...forwardTo(prosody) })
    const site = await serveSite(t, { certificate, http: announce(() => proxy.port) })
    assert.deepEqual(problemsOf(await check(HOST, site.port, trust)), [
      ['host-meta'],
      ['bosh', 'mechanisms_missing'],
      ['websocket', 'mechanisms_missing'],
    ])
    await prosody.restart({
      globals: {
        ...{ c2s_require_encryption: 'true', consider_bosh_secure: 'true' },
        ...{ consider_websocket_secure: 'true' },
      },
    })
    assert.deepEqual(problemsOf(await check(HOST, site.port, trust)), [
      ['host-meta'],
      ['bosh'],
      ['websocket'],
    ])
  })
}
