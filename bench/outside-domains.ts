// Measures one exporter that checks a thousand domains from outside, while Prometheus scrapes it every 15 s. The checks
// are spread over the interval, so some of them run during each scrape. All domains are hosts of one real Prosody at 16
// addresses of loopback, and NSD serves their DNS records. Each domain has four endpoints. The results are the longest
// scrape, the number of late ones, the CPU time as a share of one core, and the memory.
// Run: node --import tsx bench/outside-domains.ts [domains [minutes [interval in minutes]]], for example 1000 15 5

import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { gunzipSync } from 'node:zlib'
import { withExporterFor } from '../test/support/exporter.js'
import { withNameServer } from '../test/support/name-server.js'
import { openssl } from '../test/support/openssl.js'
import { withProsody } from '../test/support/prosody.js'
import { freePorts, temporaryDirectory, until } from '../test/support/setup/process.js'
import { untilUp } from '../test/support/real.js'
import { cpuMs, note, parameters, peakMB, report, shown, spread } from './figure.js'

const [count = 1000, minutes = 10, intervalMinutes = 5] = parameters.map(Number)
const ZONE = 'bench.example'
const SERVICES = ['xmpp-client', 'xmpps-client', 'xmpp-server', 'xmpps-server'] as const
const INTERVAL_MS = 15_000
/** The default scrape_timeout of Prometheus. */
const TIMEOUT_MS = 10_000
// Prometheus 3.5 requests OpenMetrics, compressed.
const HEADERS = {
  Accept: 'application/openmetrics-text;version=1.0.0;q=0.6,text/plain;version=0.0.4;q=0.5',
  'Accept-Encoding': 'gzip',
  'X-Prometheus-Scrape-Timeout-Seconds': String(TIMEOUT_MS / 1000),
}
// One address allows one connection at a time.
const ADDRESSES = Array.from({ length: 16 }, (_, i) => `127.0.0.${i + 1}`)

const cleanup: (() => unknown)[] = []
const t = { after: (f: () => unknown) => cleanup.unshift(f) } as never
const domains = Array.from({ length: count }, (_, i) => `d${i}.${ZONE}`)

type Scrape = {
  readonly ms: number
  readonly bytes: number
  readonly up: number
  readonly down: number
  /** The time of the last check of each domain that has one. */
  readonly checkedAt: readonly number[]
}

/** Creates an authority, and a certificate of it for all domains. */
async function createCertificate(directory: string): Promise<void> {
  const run = (...args: string[]) => openssl(args, directory)
  const key = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-noenc']
  await run('req', '-x509', ...key, '-keyout', 'ca.key', '-out', 'ca.crt', '-subj', '/CN=bench', '-days', '365') // prettier-ignore
  await run('req', ...key, '-keyout', 'all.key', '-out', 'all.csr', '-subj', '/CN=all')
  await writeFile(join(directory, 'all.ext'), `subjectAltName=DNS:*.${ZONE}\n`)
  await run('x509', '-req', '-in', 'all.csr', '-CA', 'ca.crt', '-CAkey', 'ca.key', '-CAcreateserial', '-out', 'all.crt', '-days', '90', '-extfile', 'all.ext') // prettier-ignore
}

async function startProsody(directory: string) {
  const [c2s = 0, s2s = 0] = await freePorts(2)
  const tls = `{ key = "${directory}/all.key"; certificate = "${directory}/all.crt" }`
  const prosody = await withProsody(t, {
    version: '13.0.1',
    hosts: domains,
    statsDomains: [`stats.${domains[0]!}`],
    tlsPorts: { c2s_direct_tls: c2s, s2s_direct_tls: s2s },
    interfaces: ADDRESSES,
    globals: { ssl: tls, c2s_require_encryption: 'true', s2s_require_encryption: 'true' },
    logLevel: 'warn',
  })
  const ports = [prosody.ports.c2s, c2s, prosody.ports.s2s, s2s]
  const records = domains.flatMap((_, i) =>
    SERVICES.map((service, k) => `_${service}._tcp.d${i} SRV 0 0 ${ports[k]!} x${i}`).concat(
      `x${i} A ${ADDRESSES[i % ADDRESSES.length]!}`,
    ),
  )
  return { prosody, records }
}

async function scrape(exporter: Awaited<ReturnType<typeof withExporterFor>>): Promise<Scrape> {
  const startedAt = performance.now()
  const { body, status } = await exporter.get('/metrics', HEADERS)
  const ms = performance.now() - startedAt
  if (status !== 200) throw new Error(`HTTP ${status}`)
  const text = gunzipSync(body).toString()
  const valuesOf = (name: string) =>
    Array.from(text.matchAll(new RegExp(`^${name}\\{.*\\} (\\S+)$`, 'gm')), ([, value]) => Number(value)) // prettier-ignore
  const endpoints = valuesOf('xmpp_endpoint_up')
  return {
    ms,
    bytes: text.length,
    up: endpoints.filter((value) => value === 1).length,
    down: endpoints.filter((value) => value === 0).length,
    checkedAt: valuesOf('xmpp_domain_check_timestamp_seconds'),
  }
}

try {
  const directory = await temporaryDirectory('prosody-exporter-bench')
  cleanup.unshift(() => directory.remove())
  await mkdir(join(directory.path, 'certs'))
  await createCertificate(directory.path)
  const { prosody, records } = await startProsody(directory.path)
  const { nameServers } = await withNameServer(t, { zones: { [ZONE]: records } })
  const file = join(directory.path, 'exporter.yml')
  const lines = [
    ...['outside:', `  interval: ${intervalMinutes}m`, '  allow_private: true'],
    ...[`  own_addresses: [127.0.0.0/8]`, `  name_servers: ["${nameServers[0]!}"]`],
    ...['  domains:', ...domains.map((domain) => `    - ${domain}`)],
  ]
  await writeFile(file, `${lines.join('\n')}\n`)
  const exporter = await withExporterFor(t, prosody, {
    flags: [`--config.file=${file}`, '--log.level=warn'],
    env: { NODE_EXTRA_CA_CERTS: join(directory.path, 'ca.crt') },
    stock: true,
  })
  await untilUp(exporter)
  const startedAt = performance.now()
  await until(async () => (await scrape(exporter)).checkedAt.length === count, {
    what: 'each domain has a result',
    timeoutMs: 30 * 60_000,
    everyMs: 5000,
  })
  const firstRound = (performance.now() - startedAt) / 1000
  note(`${count} domains have a result after ${firstRound.toFixed(0)} s`)

  // The second checks come at the regular times of the domains, one to two intervals after the first ones.
  await sleep(intervalMinutes * 60_000)
  const cpuBefore = cpuMs(exporter.pid)
  const from = performance.now()
  const scrapes: Scrape[] = []
  let checks = 0
  for (let i = 0; i < (minutes * 60_000) / INTERVAL_MS; i++) {
    await sleep(Math.max(0, from + i * INTERVAL_MS - performance.now()))
    const last = scrapes.at(-1)
    const next = await scrape(exporter)
    checks += last ? next.checkedAt.filter((at, j) => at !== last.checkedAt[j]).length : 0
    scrapes.push(next)
  }
  const passedMs = performance.now() - from
  const share = (cpuMs(exporter.pid) - cpuBefore) / passedMs
  const name = `${count} domains of 4 endpoints, checked every ${intervalMinutes} min`
  const waits = scrapes.map(({ ms }) => ms)
  const late = waits.filter((ms) => ms > TIMEOUT_MS).length
  const fewest = Math.min(...scrapes.map(({ up }) => up))
  const down = Math.max(...scrapes.map((each) => each.down))
  report({
    what: `${name}: a scrape`,
    ratio: `${(Math.max(...waits) / 1000).toFixed(2)} s at most`,
    exporter: shown(spread(waits), 'ms'),
    peer: `a timeout of ${TIMEOUT_MS / 1000} s; ${late} of ${waits.length} late, ${fewest} endpoints up at least, ${down} down at most`,
  })
  report({
    what: `${name}: CPU and memory`,
    ratio: `${(100 * share).toFixed(0)} % of a core`,
    exporter: `${peakMB(exporter.pid).toFixed(0)} MB resident at most`,
    peer: `${checks} checks of a domain in ${(passedMs / 60_000).toFixed(0)} min, ${(scrapes[0]!.bytes / 1e6).toFixed(1)} MB for each scrape`,
  })
  const warnings = exporter
    .stderr()
    .split('\n')
    .filter((line) => line !== '')
  if (warnings.length > 0) note(`log: ${warnings.slice(0, 5).join('\n# log: ')}`)
} finally {
  for (const f of cleanup) await f()
}
