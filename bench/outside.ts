// Measures the CPU time of one checked endpoint of the checks from outside. The peer is a bare `tls.connect` of
// node:tls to the port for direct TLS of the same Prosody, from the same process. Both end their connection in order.
// Batches of both alternate. The target is at most 3 times. The check of the web services is one of three endpoints.
// Only Prosody 13.0 serves a host-meta itself.
// Run: node --import tsx bench/outside.ts [--markdown] [version …]

import { once } from 'node:events'
import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import process from 'node:process'
import { connect, type SecureContext } from 'node:tls'
import { createConnectionLimit } from '../src/outside/connection-limit.js'
import type { Resolver } from '../src/outside/dns/resolver.js'
import type { Endpoint, SrvService } from '../src/outside/outside-check.js'
import { checkEndpoint } from '../src/outside/probe/check-endpoint.js'
import { createTrustStore } from '../src/outside/probe/trust-store.js'
import { checkWeb } from '../src/outside/web/check-web.js'
import { prosodyVersions, withProsody } from '../test/support/prosody.js'
import { freePorts, temporaryDirectory } from '../test/support/setup/process.js'
import { createAuthority } from '../test/support/web.js'
import { parameters, report, shown, spread, timesOf } from './figure.js'

const HOST = 'one.example'
const BATCHES = 15
const BATCH = 20
const WARM_UP = 100
/** A resolver that knows only IPv4, and returns the address of this machine. */
const resolver: Resolver = {
  srv: () => Promise.resolve({ state: 'no_data', records: [], seconds: 0 }),
  alias: () => Promise.resolve({ state: 'no_data', records: [], seconds: 0 }),
  addresses: (_, family) =>
    Promise.resolve(
      family === 'ipv4'
        ? { state: 'found', records: ['127.0.0.1'], seconds: 0 }
        : { state: 'no_data', records: [], seconds: 0 },
    ),
  close() {},
}
const chosen = prosodyVersions.filter((version) => parameters.includes(version))
const cleanup: (() => unknown)[] = []
const t = { after: (f: () => unknown) => cleanup.unshift(f) } as never

/** Returns the CPU time of this process for each of a batch of calls, in milliseconds. */
async function measureMs(work: () => Promise<unknown>, times: number): Promise<number> {
  const before = process.cpuUsage()
  for (let i = 0; i < times; i++) await work()
  const { user, system } = process.cpuUsage(before)
  return (user + system) / 1000 / times
}

/** Opens a bare TLS connection, which node:tls verifies, and closes it. */
async function connectBare(port: number, secureContext: SecureContext): Promise<void> {
  const socket = connect({ host: '127.0.0.1', port, servername: HOST, secureContext })
  socket.on('error', () => {})
  await once(socket, 'secureConnect')
  socket.resume()
  socket.end()
  await once(socket, 'close')
}

async function measure(version: (typeof prosodyVersions)[number]): Promise<void> {
  const directory = await temporaryDirectory('prosody-exporter-bench')
  cleanup.unshift(() => directory.remove())
  const certs = join(directory.path, 'certs')
  await mkdir(certs)
  const authority = await createAuthority(certs, 'authority')
  await authority.issue(HOST, `DNS:${HOST}`)
  const [c2s = 0, s2s = 0, https = 0] = await freePorts(3)
  const hasHostMeta = version !== '0.12.3'
  const prosody = await withProsody(t, {
    version,
    hosts: [HOST],
    modules: ['bosh', 'websocket', ...(hasHostMeta ? ['http_altconnect'] : [])],
    tlsPorts: { c2s_direct_tls: c2s, s2s_direct_tls: s2s, https },
    globals: { certificates: JSON.stringify(certs), c2s_require_encryption: 'true' },
    logLevel: 'warn',
  })
  const trust = createTrustStore({ extraFile: authority.file })
  const options = {
    timeoutMs: 60_000,
    trust,
    limit: createConnectionLimit({ isOwn: () => true, perMinute: 2 }),
    signal: new AbortController().signal,
  }
  const ports: Readonly<Record<SrvService, number>> = {
    ...{ 'xmpp-client': prosody.ports.c2s, 'xmpps-client': c2s },
    ...{ 'xmpp-server': prosody.ports.s2s, 'xmpps-server': s2s },
  }
  const check = async (service: SrvService) => {
    const endpoint: Endpoint<SrvService> = {
      ...{ domain: HOST, service, target: HOST, port: ports[service] },
      ...{ family: 'ipv4', addresses: ['127.0.0.1'] },
    }
    const { isUp, problems } = await checkEndpoint(endpoint, options)
    if (!isUp) throw new Error(`${service}: ${problems.map(({ code }) => code).join(', ')}`)
  }
  const checkSite = async () => {
    const checks = await checkWeb(HOST, { ...options, resolver, allowPrivate: true, hostMetaPort: https }) // prettier-ignore
    if (checks.length !== 3 || !checks.every(({ isUp }) => isUp))
      throw new Error('A web check failed')
  }
  const works: Readonly<
    Record<string, { readonly endpoints: number; readonly run: () => Promise<void> }>
  > = {
    bare: { endpoints: 1, run: () => connectBare(c2s, trust.getContext()) },
    ...Object.fromEntries(
      (Object.keys(ports) as SrvService[]).map((each) => [
        each,
        { endpoints: 1, run: () => check(each) },
      ]),
    ),
    ...(hasHostMeta && { 'host-meta, BOSH and WebSocket': { endpoints: 3, run: checkSite } }),
  }
  const found = new Map(Object.keys(works).map((name) => [name, [] as number[]]))
  for (const { run } of Object.values(works)) await measureMs(run, WARM_UP)
  for (let i = 0; i < BATCHES; i++) {
    for (const [name, { endpoints, run }] of Object.entries(works))
      found.get(name)!.push((await measureMs(run, BATCH)) / endpoints)
  }
  const peer = spread(found.get('bare')!)
  for (const [name, values] of found) {
    if (name === 'bare') continue
    const own = spread(values)
    report({
      what: `Prosody ${version}, CPU of the exporter for each checked endpoint: ${name}`,
      ratio: timesOf(own, peer),
      exporter: shown(own, 'ms'),
      peer: `${shown(peer, 'ms')} for tls.connect`,
    })
  }
}

try {
  for (const version of chosen.length > 0 ? chosen : prosodyVersions) await measure(version)
} finally {
  for (const f of cleanup) await f()
}
