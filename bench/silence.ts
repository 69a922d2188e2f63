// How long Prosody's only thread answers nobody while we collect, seen by pings every millisecond from
// a process of its own, next to the same server in which one series in ten moves and nobody collects
// ("left alone"), one that also allocates as much ("as much garbage"), and mod_http_openmetrics.
// Rounds of the first three alternate and last as long; pings of all rounds are taken together, once
// those of the whole time, with a collection every 0.7 s or so, and once those sent while it went on.
// mod_http_openmetrics comes last, because what it leaves keeps the garbage collector busy for whoever
// is next. How long a page takes is CPU, by os.clock().
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
// A hundred pages and several cycles of the collector each.
const FULL_ROUNDS = 2
const PAGE_ROUNDS = 3
const GCS: readonly Gc[] = ['default', 'generational']

type Test = Parameters<typeof startServer>[0]
type Config = Parameters<typeof startServer>[1]

/** Those that were asked for, or all. */
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
/** `12.3 ms, worst 14.0 ms` */
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
  readonly ours: readonly Stretch[]
  readonly alone: readonly Stretch[]
  readonly garbage: readonly Stretch[]
}

async function measure(t: Test, config: Config): Promise<void> {
  const server = await startServer(t, config)
  const { version, gc, families } = config
  const where = `Prosody ${version}, gc ${gc}, ${families.toLocaleString('en')} ${
    families === 1 ? 'family' : 'families'
  }`
  const nothing = () => Promise.resolve()

  /** Each of the three in turn, another first in each round. */
  async function alternate(rounds: number, read: () => Promise<unknown>, like: Garbage) {
    const ours: Stretch[] = []
    const alone: Stretch[] = []
    const garbage: Stretch[] = []
    const tookMs = () => ours.at(-1)?.workMs ?? like.ms
    const turns = [
      async () => ours.push(await server.stretch(read)),
      async () => alone.push(await server.stretch(() => server.move(tookMs()))),
      async () =>
        garbage.push(await server.stretch(() => server.moveAndAllocate({ ...like, ms: tookMs() }))),
    ]
    for (let i = 0; i < rounds; i++) {
      for (let j = 0; j < turns.length; j++) await turns[(i + j) % turns.length]!()
    }
    return { ours, alone, garbage }
  }

  function reportRounds(what: string, { ours, alone, garbage }: Rounds): void {
    for (const [when, pings] of [
      ['of all the time', all],
      ['while it goes on', during],
    ] as const) {
      const [mine, control] = [percentile99(pings(ours)), percentile99(pings(alone))]
      report({
        what: `${where}: ${what}, 99th percentile of pings ${when}`,
        ratio: signed(mine - control),
        ours: `${ms(mine)} of ${pings(ours).length}`,
        theirs: `left alone ${ms(control)} of ${pings(alone).length}`,
      })
    }
    report({
      what: `${where}: ${what}, longest silence`,
      ratio: signed(worst(longest(ours)) - worst(longest(garbage))),
      ours: withWorst(longest(ours)),
      theirs: `as much garbage ${withWorst(longest(garbage))}; left alone ${withWorst(longest(alone))}`,
    })
  }

  /** `asItIs`: what pages took in rounds with the garbage collector at work. */
  async function reportPages(
    what: string,
    asItIs: Pages,
    rounds: number,
    read: () => Promise<unknown>,
  ) {
    await server.control('collector_in_pages', 0)
    for (let i = 0; i < rounds; i++) await read()
    await server.control('collector_in_pages', 1)
    const { pages, turns } = await server.pages()
    const kilobytes = median(pages.map((page) => page.kilobytes)).toFixed(0)
    report({
      what: `${where}: ${what}, own time a page`,
      ratio: ms(worst(pages.map((page) => page.ms))),
      ours: `${withPercentile(pages)}, ${kilobytes} KB; with the stream's part ${withPercentile(turns)}`,
      theirs: `with the garbage collector ${withPercentile(asItIs.pages)}`,
    })
  }

  const started = performance.now()
  // The pinger has just started.
  await server.stretch(nothing)
  const idle = await server.stretch(nothing)
  const first = await server.stretch(server.readAll)
  const full = await server.garbageOf(server.readAll)
  const scrape = await server.startExporter()
  await scrape()
  const collection = await server.garbageOf(scrape)
  note(
    `${where}: idle p99 ${ms(percentile99(all([idle])))}, longest ${ms(worst(longest([idle])))}; ` +
      `the first reading of all p99 ${ms(percentile99(first.during))}, longest ${ms(worst(first.during))}; a full reading leaves ${full.kilobytes.toFixed(0)} KB in ${full.pages} pages, ` +
      `a collection ${collection.kilobytes.toFixed(0)} KB in ${collection.pages}`,
  )

  await server.pages()
  const ordinary = await alternate(ROUNDS, scrape, collection)
  const pages = await server.pages()
  const fullRounds = await alternate(FULL_ROUNDS, server.readAll, full)
  const fullPages = await server.pages()
  reportRounds('a collection', ordinary)
  reportRounds('a full reading', fullRounds)
  await reportPages('a collection', pages, PAGE_ROUNDS, scrape)
  await reportPages('a full reading', fullPages, 1, server.readAll)

  const peer = longest([await server.stretch(server.scrapeOpenMetrics)])
  const { ours, alone, garbage } = ordinary
  report({
    what: `${where}: longest silence against mod_http_openmetrics`,
    ratio: `1/${(worst(peer) / worst(longest(ours))).toFixed(0)}`,
    ours: withWorst(longest(ours)),
    theirs: ms(worst(peer)),
  })
  const delays = (stretches: readonly Stretch[]) => ms(worst(stretches.map((each) => each.delayMs)))
  note(
    `${where}: others had the processor in a stretch for at most: a collection ${delays(ours)}, ` +
      `left alone ${delays(alone)}, as much garbage ${delays(garbage)}`,
  )
  const above = (stretches: readonly Stretch[]) => ms(median(cpu(stretches)) - median(cpu(alone)))
  note(
    `${where}: CPU above left alone: a collection ${above(ours)}, as much garbage ${above(garbage)}; all took ${((performance.now() - started) / 1000).toFixed(0)} s`,
  )
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
