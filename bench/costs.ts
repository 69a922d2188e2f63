// Measures what a scrape with the default collectors costs: the CPU time of Prosody, and the time from the request to
// the last byte. The peer is mod_http_openmetrics on an equal server. It has a server of its own, because Lua would
// collect a part of its garbage during the next collection of the exporter. The floor is a ping (XEP-0199) over a
// component stream to the server of the exporter. One series in ten changes between two collections. A ping, a
// collection of the exporter and a scrape of the peer alternate.
//
// There are two servers for each version of Prosody, each mode of Lua's garbage collector and each number of series. All
// servers run at the same time. The cold measurements come first: each server rests for `COLD_MS` before each of them.
// Meanwhile the other servers are measured, so the CPU caches have nothing of a server at rest. Then the rapid
// measurements follow, with a pause of 150 ms.
// Run: npm run bench -- costs. It takes more than 20 minutes. For a part of the servers or a shorter rest, run
// `npm run build` and node --import tsx bench/costs.ts [--rest=SECONDS] [--rounds=N] [version …] [gc …] [series …].

import { cpus, release } from 'node:os'
import process from 'node:process'
import { setTimeout as sleep } from 'node:timers/promises'
import { withExporterFor } from '../test/support/exporter.js'
import { prosodyVersions, SECRET, withProsody } from '../test/support/prosody.js'
import { agent, get } from './client.js'
import { openComponent, pingOf } from './component-stream.js'
import { cpuMs, parameters, partOf, spread, type Spread } from './figure.js'

type Test = Parameters<typeof withProsody>[0]
type Version = (typeof prosodyVersions)[number]
/** Values of `mode` in Prosody's option `gc`. By default, every version of Prosody uses the first one. */
const GCS = ['incremental', 'generational'] as const
type Setup = {
  readonly version: Version
  readonly gc: (typeof GCS)[number]
  readonly series: number
}

const KINDS = ['ping', 'exporter', 'peer'] as const
/**
 * The exporter is scraped four times in a row, because a part of the statistics is collected once a minute. If other
 * measurements lay between two scrapes, most scrapes would collect them.
 */
const COLD_KINDS = ['ping', 'peer', 'exporter', 'exporter', 'exporter', 'exporter'] as const
type Kind = (typeof KINDS)[number]
/** The CPU time of Prosody, and the duration. */
type Cost = { readonly cpuMs: number; readonly ms: number }
type Costs = Readonly<Record<Kind, Cost[]>>

/** Returns the number N of an argument `--NAME=N`. */
const option = (name: string, usual: number) =>
  Number(new RegExp(`--${name}=([\\d.]+)`).exec(process.argv.join(' '))?.[1] ?? usual)
const COLD_MS = option('rest', 15) * 1000
const COLD_ROUNDS = option('rounds', 12)
// mod_adhoc_statistics collects at most every 100 ms. In the other 50 ms, Prosody finishes its work for the previous
// response.
const RAPID_MS = 150
// With 100,000 series, a scrape of mod_http_openmetrics takes seconds, so there are fewer rounds.
const rapidRoundsFor = (series: number) => (series > 20_000 ? 7 : 30)
// An exporter that has just started is slower, because V8 has not optimized its code. With a scrape every 15 s, these
// scrapes take less than an hour.
const warmUpScrapesFor = (series: number) => (series > 20_000 ? 20 : 100)
// After a measurement, Prosody finishes its work, for example it writes the rest of the reply.
const SETTLE_MS = 30
// In this time, another server and its exporter finish their work.
const GAP_MS = 300
// When Prosody has cut one response of the peer at 4 MiB, later requests end after this time. It suffices for rendering.
const CUT_MS = 4000
const PINGER = 'pinger.example'

const chosen = <T extends string | number>(all: readonly T[]): readonly T[] => {
  const some = all.filter((each) => parameters.includes(String(each)))
  return some.length > 0 ? some : all
}

function startProsody(t: Test, { version, gc, series }: Setup) {
  return withProsody(t, {
    version,
    modules: ['test_series'],
    globals: {
      gc: `{ mode = "${gc}" }`,
      test_series_count: `${series}`,
      test_series_families: `${Math.max(10, series / 100)}`,
    },
    components: [{ domain: PINGER, options: { component_secret: `"${SECRET}"` } }],
  })
}

/** Starts a server for the exporter and the pings, and an equal one for the peer. Returns a function that measures. */
async function startServers(t: Test, setup: Setup) {
  const prosody = await startProsody(t, setup)
  const peer = await startProsody(t, setup)
  const exporter = await withExporterFor(t, prosody, {
    stock: true,
    env: { PROSODY_EXPORTER_COLLECTION_MIN_AGE: '0s' },
  })
  while ((await exporter.get('/-/ready')).status !== 200) await sleep(100)
  const { socket, until } = await openComponent(prosody.ports.component, PINGER, SECRET)
  t.after(() => socket.destroy())
  let pings = 0
  let peerTimeoutMs: number | undefined

  async function ping() {
    const started = performance.now()
    const id = `p${++pings}`
    socket.write(pingOf(id, PINGER, prosody.hosts[0]!))
    await until(new RegExp(`id='${id}'`))
    return { ms: performance.now() - started }
  }

  const work: Readonly<Record<Kind, () => Promise<{ ms: number }>>> = {
    ping,
    exporter: () => get(`${exporter.url}/metrics`),
    async peer() {
      const { ms } = await get(peer.openmetricsUrl, peerTimeoutMs)
      if (ms === Infinity) peerTimeoutMs = CUT_MS
      return { ms }
    },
  }
  return {
    measure: async (kind: Kind): Promise<Cost> => {
      const { pid } = kind === 'peer' ? peer : prosody
      const before = cpuMs(pid)
      const { ms } = await work[kind]()
      await sleep(SETTLE_MS)
      return { cpuMs: cpuMs(pid) - before, ms }
    },
  }
}

type Servers = Awaited<ReturnType<typeof startServers>>
const newCosts = (): Costs => ({ ping: [], exporter: [], peer: [] })

async function measureRapid({ measure }: Servers, rounds: number): Promise<Costs> {
  const costs = newCosts()
  for (let i = 0; i < rounds; i++) {
    for (const kind of KINDS) {
      await sleep(RAPID_MS)
      costs[kind].push(await measure(kind))
    }
  }
  return costs
}

/** Measures all servers in turn. Each server rests for at least `COLD_MS` before each measurement. */
async function measureCold(servers: ReadonlyMap<Setup, Servers>, rounds: number) {
  const costs = new Map([...servers.keys()].map((setup) => [setup, newCosts()]))
  const endedAt = new Map<Setup, number>()
  const startedMs = performance.now()
  for (let i = 0; i < rounds; i++) {
    for (const kind of COLD_KINDS) {
      for (const [setup, { measure }] of servers) {
        const restedMs = performance.now() - (endedAt.get(setup) ?? startedMs)
        await sleep(Math.max(COLD_MS - restedMs, GAP_MS))
        costs.get(setup)![kind].push(await measure(kind))
        endedAt.set(setup, performance.now())
      }
    }
  }
  return costs
}

const number = (value: number) =>
  value === Infinity ? '∞' : value >= 100 ? value.toFixed(0) : value.toPrecision(2)
const withSpread = ({ low, median, high }: Spread) =>
  `${number(median)} (${number(low)} … ${number(high)}) ms`
const cells = (values: readonly string[]) => `| ${values.join(' | ')} |`

function printTable(title: string, rows: ReadonlyMap<Setup, Costs>): void {
  console.log(`\n${title}\n`)
  console.log(
    cells([
      'Series, Prosody, `gc`',
      'CPU: exporter',
      'peer',
      'ratio',
      'in pings',
      'Scrape: exporter',
      'peer',
      'ratio',
      'Ping: CPU, time',
    ]),
  )
  console.log('| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |')
  for (const [{ version, gc, series }, costs] of rows) {
    const of = (kind: Kind, what: keyof Cost) => spread(costs[kind].map((cost) => cost[what]))
    const isCut = of('peer', 'ms').median === Infinity
    console.log(
      cells([
        `${series.toLocaleString('en')}, ${version}, ${gc}`,
        withSpread(of('exporter', 'cpuMs')),
        withSpread(of('peer', 'cpuMs')),
        partOf(of('exporter', 'cpuMs'), of('peer', 'cpuMs')),
        number(of('exporter', 'cpuMs').median / of('ping', 'cpuMs').median),
        withSpread(of('exporter', 'ms')),
        isCut ? 'cut at 4 MiB' : withSpread(of('peer', 'ms')),
        isCut ? '–' : partOf(of('exporter', 'ms'), of('peer', 'ms')),
        `${number(of('ping', 'cpuMs').median)}, ${number(of('ping', 'ms').median)} ms`,
      ]),
    )
  }
}

/** Runs the benchmark, and prints its tables. */
async function run(t: Test): Promise<void> {
  const setups = chosen([300, 10_000, 100_000]).flatMap((series) =>
    chosen(prosodyVersions).flatMap((version) =>
      chosen(GCS).map((gc): Setup => ({ version, gc, series })),
    ),
  )
  const started = performance.now()
  const servers = new Map<Setup, Servers>()
  for (const setup of setups) servers.set(setup, await startServers(t, setup))
  for (const [{ series }, { measure }] of servers) {
    for (let i = 0; i < warmUpScrapesFor(series); i++) await measure('exporter')
    await measure('peer')
  }
  const cold = await measureCold(servers, COLD_ROUNDS)
  const rapid = new Map<Setup, Costs>()
  for (const [setup, server] of servers) {
    rapid.set(setup, await measureRapid(server, rapidRoundsFor(setup.series)))
  }
  const [cpu] = cpus()
  console.log(
    `${new Date().toISOString().slice(0, 10)}, ${cpus().length} × ${cpu?.model.trim()}, Linux ${release()}, ` +
      `Node.js ${process.versions.node}. The median, and the 10th and 90th percentile.`,
  )
  printTable(
    `Cold: ${COLD_MS / 1000} s of rest before each measurement, ${COLD_ROUNDS} rounds.`,
    cold,
  )
  printTable(`Rapid: ${RAPID_MS} ms before each measurement.`, rapid)
  console.log(
    `\nThe benchmark took ${((performance.now() - started) / 60_000).toFixed(0)} minutes.`,
  )
}

const cleanup: (() => unknown)[] = []
try {
  await run({ after: (f: () => unknown) => cleanup.unshift(f) })
} finally {
  for (const f of cleanup) await f()
  agent.destroy()
}
