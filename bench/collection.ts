// Measures the CPU time of Prosody for one collection, and the duration of a fresh scrape. The peer is
// mod_http_openmetrics on the same server with the same registry. One series in ten changes between two
// collections. Rounds of both alternate. Each result is a ratio of medians, with 10th and 90th percentile.
// Run: node --import tsx bench/collection.ts [--markdown] [version …] [series …]

import { once } from 'node:events'
import { Agent, request, type IncomingMessage } from 'node:http'
import { connect, createServer } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import { freePort } from '../test/support/setup/process.js'
import { withExporterFor } from '../test/support/exporter.js'
import { prosodyVersions, withProsody } from '../test/support/prosody.js'
import { cpuMs, parameters, partOf, report, shown, spread, type Spread } from './figure.js'
import { startReader } from './reader.js'

type Test = Parameters<typeof withProsody>[0]
type Cost = { readonly cpuMs: number; readonly ms: number; readonly bytes: number }

const given = parameters.map(Number).filter((number) => number > 0)
const sizes = given.length > 0 ? given : [300, 10_000, 100_000]
const chosenVersions = prosodyVersions.filter((version) => parameters.includes(version))
const versions = chosenVersions.length > 0 ? chosenVersions : prosodyVersions
// A scrape of mod_http_openmetrics at 100,000 takes seconds.
const roundsFor = (series: number) => (series > 20_000 ? 9 : 50)
const fullRoundsFor = (series: number) => (series > 20_000 ? 5 : 15)
// Three scrapers with the same interval, a third of the interval apart. That is longer than the default
// min_age of 250 ms, so the exporter collects for each scrape.
const SCRAPERS = 3
const PHASE_MS = 300
const SCRAPERS_SERIES = 10_000
const SCRAPERS_ROUNDS = 15
// mod_adhoc_statistics collects at most every 100 ms. The other 50 ms are for work after a response.
const PAUSE_MS = 150
// Prosody 13.0 cuts a response at 4 MiB and then neither completes nor closes it.
const PEER_TIMEOUT_MS = 12_000
const agent = new Agent({ keepAlive: true })

/**
 * Sends a GET request on a keep-alive connection, as Prometheus does.
 *
 * @returns Duration and body size; `ms` is Infinity if the response was cut.
 */
async function get(url: string): Promise<{ ms: number; bytes: number }> {
  const started = performance.now()
  const sent = request(url, { agent, signal: AbortSignal.timeout(PEER_TIMEOUT_MS) })
  sent.end()
  const [response] = (await once(sent, 'response')) as [IncomingMessage]
  if (response.statusCode !== 200) throw new Error(`${url}: status ${response.statusCode}`)
  let bytes = 0
  try {
    for await (const chunk of response) bytes += (chunk as Buffer).length
    return { ms: performance.now() - started, bytes }
  } catch {
    return { ms: Infinity, bytes }
  }
}

/** Starts a TCP proxy to the component port that counts the bytes of both directions. */
async function startTap(t: Test, componentPort: number) {
  let bytes = 0
  const count = (chunk: Buffer) => (bytes += chunk.length)
  const server = createServer({ noDelay: true }, (client) => {
    const upstream = connect(componentPort, '127.0.0.1').setNoDelay(true)
    client.on('data', count).on('error', () => upstream.destroy())
    upstream.on('data', count).on('error', () => client.destroy())
    client.pipe(upstream).pipe(client)
    t.after(() => client.destroy())
  })
  const port = await freePort()
  server.listen(port, '127.0.0.1')
  await once(server, 'listening')
  t.after(() => server.close())
  return { service: `xmpp://127.0.0.1:${port}`, bytes: () => bytes }
}

async function measure(t: Test, version: (typeof prosodyVersions)[number], series: number) {
  const families = Math.max(10, series / 100)
  const prosody = await withProsody(t, {
    version,
    modules: ['test_series'],
    globals: { test_series_count: `${series}`, test_series_families: `${families}` },
  })
  const tap = await startTap(t, prosody.ports.component)
  const exporter = await withExporterFor(
    t,
    { ...prosody, service: tap.service, statsDomains: prosody.statsDomains },
    { env: { PROSODY_EXPORTER_COLLECTION_MIN_AGE: '0s' } },
  )
  while ((await exporter.get('/-/ready')).status !== 200) await sleep(100)

  const costOf = async (work: () => Promise<{ ms: number; bytes: number }>): Promise<Cost> => {
    await sleep(PAUSE_MS)
    const before = cpuMs(prosody.pid)
    const { ms, bytes } = await work()
    await sleep(20)
    return { cpuMs: cpuMs(prosody.pid) - before, ms, bytes }
  }

  const exporterCosts: Cost[] = []
  const peerCosts: Cost[] = []
  const onStream: number[] = []
  for (let i = 0; i < roundsFor(series); i++) {
    const bytes = tap.bytes()
    exporterCosts.push(await costOf(() => get(`${exporter.url}/metrics`)))
    onStream.push(tap.bytes() - bytes)
    peerCosts.push(await costOf(() => get(prosody.openmetricsUrl)))
  }

  // Full reads do not alternate with scrapes of mod_http_openmetrics. Such a scrape leaves garbage, which
  // Lua would collect during the next full read, so the read would look too expensive.
  const full: Cost[] = []
  const reader = await startReader(prosody)
  const readAll = () => reader.readAll().then(() => ({ ms: 0, bytes: 0 }))
  for (let i = 0; i < fullRoundsFor(series); i++) full.push(await costOf(readAll))
  await reader.stop()

  const shared: Cost[] = []
  const each: Cost[] = []
  if (series === SCRAPERS_SERIES) {
    const other = await withExporterFor(t, prosody, {
      domain: prosody.statsDomains[1]!,
    })
    while ((await other.get('/-/ready')).status !== 200) await sleep(100)
    const scrapeFromAll = async (target: string) => {
      for (let i = 0; i < SCRAPERS; i++) {
        await get(target)
        await sleep(PHASE_MS)
      }
      return { ms: 0, bytes: 0 }
    }
    for (let i = 0; i < SCRAPERS_ROUNDS; i++) {
      shared.push(await costOf(() => scrapeFromAll(`${other.url}/metrics`)))
      each.push(await costOf(() => scrapeFromAll(prosody.openmetricsUrl)))
    }
  }

  const spreadOf = (costs: readonly Cost[], what: keyof Cost) =>
    spread(costs.map((cost) => cost[what]))
  const reportCost = (what: string, exporterSpread: Spread, peerSpread: Spread, unit: string) => {
    report({
      what: `Prosody ${version}, ${series.toLocaleString('en')} series: ${what}`,
      ratio: partOf(exporterSpread, peerSpread),
      exporter: shown(exporterSpread, unit),
      peer: peerSpread.median === Infinity ? 'cut at 4 MiB' : shown(peerSpread, unit),
    })
  }
  reportCost(
    "Prosody's CPU for one collection",
    spreadOf(exporterCosts, 'cpuMs'),
    spreadOf(peerCosts, 'cpuMs'),
    'ms',
  )
  reportCost(
    "Prosody's CPU for the first, full collection",
    spreadOf(full, 'cpuMs'),
    spreadOf(peerCosts, 'cpuMs'),
    'ms',
  )
  if (shared.length > 0) {
    reportCost(
      "Prosody's CPU for three scrapers out of phase",
      spreadOf(shared, 'cpuMs'),
      spreadOf(each, 'cpuMs'),
      'ms',
    )
  }
  reportCost(
    'a fresh scrape, end to end',
    spreadOf(exporterCosts, 'ms'),
    spreadOf(peerCosts, 'ms'),
    'ms',
  )
  reportCost(
    "XMPP stream against the exposition's bytes",
    spread(onStream),
    spreadOf(exporterCosts, 'bytes'),
    'B',
  )
}

for (const version of versions) {
  for (const series of sizes) {
    const cleanup: (() => unknown)[] = []
    const t = { after: (f: () => unknown) => cleanup.unshift(f) } as unknown as Test
    try {
      await measure(t, version, series)
    } finally {
      for (const f of cleanup) await f()
    }
  }
}
agent.destroy()
