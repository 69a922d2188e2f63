// Measures how long Prosody's single thread is blocked while the exporter collects. A separate process pings
// Prosody every millisecond. The collection is compared with three controls:
// - "no collection": one series in ten changes, and nothing collects;
// - "as much garbage": one series in ten changes, and Prosody allocates as much memory as for a collection;
// - a scrape of mod_http_openmetrics.
// The collection alternates with the first two controls, and all three take about equally long. The results contain
// two percentiles: of all pings, with a collection about every 0.7 s, and of the pings sent during a collection.
// mod_http_openmetrics comes last, because it leaves garbage that would slow down later measurements. The time
// of a page of the statistics is CPU time, measured with os.clock().
// Run: node --import tsx bench/silence.ts [--markdown] [--rounds=6] [version …] [gc …] [families …]

import process from 'node:process'
import { prosodyVersions } from '../test/support/prosody.js'
import { note, parameters, report } from './figure.js'
import {
  GC,
  startServer,
  type Garbage,
  type Gc,
  type PageCost,
  type Pages,
  type Stretch,
} from './silence-server.js'

const SERIES = 100_000
const SHAPES = [1000, 1]
const ROUNDS = Number(/--rounds=(\d+)/.exec(process.argv.join(' '))?.[1] ?? 8)
// A read of all statistics has about 100 pages and several cycles of the garbage collector, so 2 rounds suffice.
const FULL_ROUNDS = 2
const PAGE_ROUNDS = 3
const GCS: readonly Gc[] = ['default', 'generational']

type Test = Parameters<typeof startServer>[0]
type Config = Parameters<typeof startServer>[1]

/** Returns the values of `all` that are on the command line. If there are none, returns `usual`. */
function chosen<T extends string | number>(all: readonly T[], usual = all): readonly T[] {
  const some = all.filter((each) => parameters.includes(String(each)))
  return some.length > 0 ? some : usual
}

const ms = (value: number) =>
  `${Math.abs(value) < 100 ? value.toPrecision(2) : value.toFixed(0)} ms`
const signed = (value: number) => `${value < 0 ? '−' : '+'}${Math.abs(value).toFixed(1)} ms`
const median = (values: readonly number[]) => {
  const sorted = values.toSorted((a, b) => a - b)
  const middle = (sorted.length - 1) / 2
  return (sorted[Math.floor(middle)]! + sorted[Math.ceil(middle)]!) / 2
}
const worst = (values: readonly number[]) => Math.max(...values)
/** Formats median and maximum: `12.3 ms, worst 14.0 ms`. */
const withWorst = (values: readonly number[]) => `${ms(median(values))}, worst ${ms(worst(values))}`
const percentile99 = (values: readonly number[]) =>
  values.toSorted((a, b) => a - b)[Math.floor((values.length - 1) * 0.99)]!
const withPercentile = (costs: readonly PageCost[]) => {
  const values = costs.map((cost) => cost.ms)
  return `p99 ${ms(percentile99(values))}, longest ${ms(worst(values))}`
}
const during = (stretches: readonly Stretch[]) => stretches.flatMap((each) => each.during)
const all = (stretches: readonly Stretch[]) =>
  stretches.flatMap((each) => [...each.during, ...each.after])
const longest = (stretches: readonly Stretch[]) =>
  stretches.map((each) => worst([...each.during, ...each.after]))
const cpu = (stretches: readonly Stretch[]) => stretches.map((each) => each.cpuMs)

type Rounds = {
  readonly exporter: readonly Stretch[]
  readonly alone: readonly Stretch[]
  readonly garbage: readonly Stretch[]
}

type Server = Awaited<ReturnType<typeof startServer>>

/**
 * Measures a collection, a change of values without a collection, and the allocation of as much garbage. Each
 * round has all three, and starts with a different one than the round before.
 */
async function alternate(
  server: Server,
  rounds: number,
  read: () => Promise<unknown>,
  like: Garbage,
): Promise<Rounds> {
  const exporter: Stretch[] = []
  const alone: Stretch[] = []
  const garbage: Stretch[] = []
  const tookMs = () => exporter.at(-1)?.workMs ?? like.ms
  const turns = [
    async () => exporter.push(await server.measureStretch(read)),
    async () => alone.push(await server.measureStretch(() => server.move(tookMs()))),
    async () =>
      garbage.push(
        await server.measureStretch(() => server.moveAndAllocate({ ...like, ms: tookMs() })),
      ),
  ]
  for (let i = 0; i < rounds; i++) {
    for (let j = 0; j < turns.length; j++) await turns[(i + j) % turns.length]!()
  }
  return { exporter, alone, garbage }
}

function reportRounds(where: string, what: string, { exporter, alone, garbage }: Rounds): void {
  for (const [when, pings] of [
    ['over the whole time', all],
    ['during the work', during],
  ] as const) {
    const [exporterP99, control] = [percentile99(pings(exporter)), percentile99(pings(alone))]
    report({
      what: `${where}: ${what}, 99th percentile of pings ${when}`,
      ratio: signed(exporterP99 - control),
      exporter: `${ms(exporterP99)} of ${pings(exporter).length}`,
      peer: `no collection ${ms(control)} of ${pings(alone).length}`,
    })
  }
  report({
    what: `${where}: ${what}, longest pause`,
    ratio: signed(worst(longest(exporter)) - worst(longest(garbage))),
    exporter: withWorst(longest(exporter)),
    peer: `as much garbage ${withWorst(longest(garbage))}; no collection ${withWorst(longest(alone))}`,
  })
}

/** @param withCollector The costs of pages from the rounds in which Lua's garbage collector ran. */
async function reportPages(
  server: Server,
  where: string,
  what: string,
  withCollector: Pages,
  rounds: number,
  read: () => Promise<unknown>,
) {
  await server.control('collector_in_pages', 0)
  for (let i = 0; i < rounds; i++) await read()
  await server.control('collector_in_pages', 1)
  const { pages, turns } = await server.takePages()
  const kilobytes = median(pages.map((page) => page.kilobytes)).toFixed(0)
  report({
    what: `${where}: ${what}, own time per page`,
    ratio: ms(worst(pages.map((page) => page.ms))),
    exporter: `${withPercentile(pages)}, ${kilobytes} KB; with the stream ${withPercentile(turns)}`,
    peer: `with the garbage collector ${withPercentile(withCollector.pages)}`,
  })
}

/**
 * Starts the exporter. Measures the garbage of a collection and of a read of all statistics, and prints it with
 * the pings of an idle Prosody.
 */
async function measureGarbage(server: Server, where: string) {
  const nothing = () => Promise.resolve()
  // This first measurement is a warm-up, because the process that pings has just started.
  await server.measureStretch(nothing)
  const idle = await server.measureStretch(nothing)
  const first = await server.measureStretch(server.readAll)
  const full = await server.measureGarbage(server.readAll)
  const scrape = await server.startExporter()
  await scrape()
  const collection = await server.measureGarbage(scrape)
  note(
    `${where}: idle p99 ${ms(percentile99(all([idle])))}, longest ${ms(worst(longest([idle])))}; ` +
      `the very first read p99 ${ms(percentile99(first.during))}, longest ${ms(worst(first.during))}; ` +
      `a full read leaves ${full.kilobytes.toFixed(0)} KB of garbage in ${full.pages} pages, ` +
      `a collection ${collection.kilobytes.toFixed(0)} KB in ${collection.pages}`,
  )
  return { scrape, full, collection }
}

/** Prints how long Prosody waited for a CPU, and the CPU time of the work. */
function noteCpu(where: string, { exporter, alone, garbage }: Rounds): void {
  const delays = (stretches: readonly Stretch[]) => ms(worst(stretches.map((each) => each.delayMs)))
  note(
    `${where}: longest wait for a CPU because of other load: a collection ${delays(exporter)}, ` +
      `no collection ${delays(alone)}, as much garbage ${delays(garbage)}`,
  )
  const above = (stretches: readonly Stretch[]) => ms(median(cpu(stretches)) - median(cpu(alone)))
  note(
    `${where}: CPU above no collection: a collection ${above(exporter)}, as much garbage ${above(garbage)}`,
  )
}

async function measure(t: Test, config: Config): Promise<void> {
  const started = performance.now()
  const server = await startServer(t, config)
  const { version, gc, families } = config
  const where = `Prosody ${version}, gc ${gc}, ${families.toLocaleString('en')} ${
    families === 1 ? 'family' : 'families'
  }`
  const { scrape, full, collection } = await measureGarbage(server, where)

  await server.takePages()
  const ordinary = await alternate(server, ROUNDS, scrape, collection)
  const pages = await server.takePages()
  const fullRounds = await alternate(server, FULL_ROUNDS, server.readAll, full)
  const fullPages = await server.takePages()
  reportRounds(where, 'a collection', ordinary)
  reportRounds(where, 'a full read', fullRounds)
  await reportPages(server, where, 'a collection', pages, PAGE_ROUNDS, scrape)
  await reportPages(server, where, 'a full read', fullPages, 1, server.readAll)

  const peer = longest([await server.measureStretch(server.scrapeOpenMetrics)])
  report({
    what: `${where}: longest pause against mod_http_openmetrics`,
    ratio: `1/${(worst(peer) / worst(longest(ordinary.exporter))).toFixed(0)}`,
    exporter: withWorst(longest(ordinary.exporter)),
    peer: ms(worst(peer)),
  })
  noteCpu(where, ordinary)
  note(`${where}: the benchmark took ${((performance.now() - started) / 1000).toFixed(0)} s`)
}

for (const version of chosen(prosodyVersions)) {
  for (const gc of chosen(Object.keys(GC) as Gc[], GCS)) {
    for (const families of chosen(SHAPES)) {
      const cleanup: (() => unknown)[] = []
      const t = { after: (f: () => unknown) => cleanup.unshift(f) } as unknown as Test
      try {
        await measure(t, { version, gc, series: SERIES, families })
      } finally {
        for (const f of cleanup) await f()
      }
    }
  }
}
