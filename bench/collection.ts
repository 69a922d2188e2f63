// Measures the CPU time of Prosody for one collection, and the duration of a scrape that waits for a new
// collection. The peer is mod_http_openmetrics on the same server with the same registry. One series in ten
// changes between two collections. Scrapes of the exporter and of the peer alternate. Each result is a ratio
// of medians, and shows the 10th and 90th percentile of the exporter and of the peer.
// Run: node --import tsx bench/collection.ts [--markdown] [version …] [series …]

import { once } from 'node:events'
import { connect, createServer } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import { freePort } from '../test/support/setup/process.js'
import { withExporterFor } from '../test/support/exporter.js'
import { prosodyVersions, withProsody, type TestProsody } from '../test/support/prosody.js'
import { agent, get } from './client.js'
import { cpuMs, parameters, partOf, report, shown, spread, type Spread } from './figure.js'
import { startReader } from './reader.js'

type Test = Parameters<typeof withProsody>[0]
type Exporter = Awaited<ReturnType<typeof withExporterFor>>
/** The CPU time of Prosody, and the duration and size of the response. */
type Cost = { readonly cpuMs: number; readonly ms: number; readonly bytes: number }

const given = parameters.map(Number).filter((number) => number > 0)
const sizes = given.length > 0 ? given : [300, 10_000, 100_000]
const chosenVersions = prosodyVersions.filter((version) => parameters.includes(version))
const versions = chosenVersions.length > 0 ? chosenVersions : prosodyVersions
// With 100,000 series, a scrape of mod_http_openmetrics takes seconds, so there are fewer rounds.
const roundsFor = (series: number) => (series > 20_000 ? 9 : 50)
const fullRoundsFor = (series: number) => (series > 20_000 ? 5 : 15)
// Three scrapers with the same interval scrape a third of the interval apart. The 300 ms between two scrapes
// are longer than the default min_age of 250 ms, so the exporter collects for each scrape.
const SCRAPERS = 3
const PHASE_MS = 300
const SCRAPERS_SERIES = 10_000
const SCRAPERS_ROUNDS = 15
// mod_adhoc_statistics collects at most every 100 ms. In the other 50 ms, Prosody finishes its work for the
// previous response.
const PAUSE_MS = 150

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

/** Measures the CPU time of Prosody during `work`, and passes on the duration and size from `work`. */
async function measureCost(
  prosody: TestProsody,
  work: () => Promise<{ ms: number; bytes: number }>,
): Promise<Cost> {
  await sleep(PAUSE_MS)
  const before = cpuMs(prosody.pid)
  const { ms, bytes } = await work()
  await sleep(20)
  return { cpuMs: cpuMs(prosody.pid) - before, ms, bytes }
}

const untilReady = async (exporter: Exporter) => {
  while ((await exporter.get('/-/ready')).status !== 200) await sleep(100)
}

/** Alternates scrapes of the exporter with scrapes of mod_http_openmetrics. */
async function measureScrapes(t: Test, prosody: TestProsody, series: number) {
  const tap = await startTap(t, prosody.ports.component)
  const exporter = await withExporterFor(
    t,
    { ...prosody, service: tap.service, statsDomains: prosody.statsDomains },
    { env: { PROSODY_EXPORTER_COLLECTION_MIN_AGE: '0s' } },
  )
  await untilReady(exporter)
  const exporterCosts: Cost[] = []
  const peerCosts: Cost[] = []
  const streamBytes: number[] = []
  for (let i = 0; i < roundsFor(series); i++) {
    const bytes = tap.bytes()
    exporterCosts.push(await measureCost(prosody, () => get(`${exporter.url}/metrics`)))
    streamBytes.push(tap.bytes() - bytes)
    peerCosts.push(await measureCost(prosody, () => get(prosody.openmetricsUrl)))
  }
  return { exporterCosts, peerCosts, streamBytes }
}

/**
 * Measures reads of the whole registry. They do not alternate with scrapes of mod_http_openmetrics, because
 * such a scrape leaves garbage in Prosody. Lua would collect that garbage during the next read of the
 * registry, so the read would seem too expensive.
 */
async function measureFullReads(prosody: TestProsody, series: number): Promise<Cost[]> {
  const costs: Cost[] = []
  const reader = await startReader(prosody)
  const readAll = () => reader.readAll().then(() => ({ ms: 0, bytes: 0 }))
  for (let i = 0; i < fullRoundsFor(series); i++) costs.push(await measureCost(prosody, readAll))
  await reader.stop()
  return costs
}

/** Alternates three scrapers of the exporter with three scrapers of mod_http_openmetrics. */
async function measureScrapers(t: Test, prosody: TestProsody) {
  const exporter = await withExporterFor(t, prosody, { domain: prosody.statsDomains[1]! })
  await untilReady(exporter)
  const scrapeFromAll = async (target: string) => {
    for (let i = 0; i < SCRAPERS; i++) {
      await get(target)
      await sleep(PHASE_MS)
    }
    return { ms: 0, bytes: 0 }
  }
  const exporterCosts: Cost[] = []
  const peerCosts: Cost[] = []
  for (let i = 0; i < SCRAPERS_ROUNDS; i++) {
    exporterCosts.push(await measureCost(prosody, () => scrapeFromAll(`${exporter.url}/metrics`)))
    peerCosts.push(await measureCost(prosody, () => scrapeFromAll(prosody.openmetricsUrl)))
  }
  return { exporterCosts, peerCosts }
}

async function measure(t: Test, version: (typeof prosodyVersions)[number], series: number) {
  const families = Math.max(10, series / 100)
  const prosody = await withProsody(t, {
    version,
    modules: ['test_series'],
    globals: { test_series_count: `${series}`, test_series_families: `${families}` },
  })
  const { exporterCosts, peerCosts, streamBytes } = await measureScrapes(t, prosody, series)
  const fullCosts = await measureFullReads(prosody, series)
  const scrapers = series === SCRAPERS_SERIES ? await measureScrapers(t, prosody) : undefined

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
  const reportCpu = (what: string, exporter: readonly Cost[], peer: readonly Cost[]) => {
    reportCost(
      `Prosody's CPU for ${what}`,
      spreadOf(exporter, 'cpuMs'),
      spreadOf(peer, 'cpuMs'),
      'ms',
    )
  }
  reportCpu('one collection', exporterCosts, peerCosts)
  reportCpu('the first, full collection', fullCosts, peerCosts)
  if (scrapers) {
    reportCpu('three scrapers out of phase', scrapers.exporterCosts, scrapers.peerCosts)
  }
  reportCost(
    'a fresh scrape, end to end',
    spreadOf(exporterCosts, 'ms'),
    spreadOf(peerCosts, 'ms'),
    'ms',
  )
  reportCost(
    "XMPP stream against the exposition's bytes",
    spread(streamBytes),
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
