// Measures the error of rate() when two Prometheus servers (scrape intervals 15 s and 10 s) or three (15, 30 and
// 60 s) scrape the same target. All times are scaled down 1:5. The windows of rate() are four and five scrape
// intervals, and the benchmark evaluates rate() twice a second. The true rates of two counters are known: one
// counts by itself, and one is set at Prosody's event stats-update.
// Each Prometheus server scrapes prosody-exporter 40 ms (scaled) after another one. That is about the worst case,
// because the exporter usually serves the later server from the snapshot of the earlier one.
//
// The measurement adds an error of its own. The timestamp of a sample is the scheduled time of the scrape, which
// differs from the real time by up to 2 ms, and the counter counts every 2 ms. Together that is 0.07 % of the
// shortest window, and more on a busy machine.
// Run: node --import tsx bench/rates.ts [minutes of unscaled time]. 10 minutes take about 3 real minutes.

import { setTimeout as sleep } from 'node:timers/promises'
import { withExporterFor } from '../test/support/exporter.js'
import { withPrometheus, type RunningPrometheus } from '../test/support/prometheus.js'
import { prosodyVersions, withProsody } from '../test/support/prosody.js'
import { note, parameters, partOf, report, spread, type Spread } from './figure.js'
import { jobOf, latenessMs, namesThatMeet, type Meeting } from './phases.js'

type Version = (typeof prosodyVersions)[number]
type Test = Parameters<typeof withProsody>[0]

const SCALE = 5
const RATE = 1000
const RUN_MS = (Number(parameters[0] ?? 10) * 60_000) / SCALE
const TIMEOUT_MS = 10_000 / SCALE
/**
 * The windows of rate(), in scrape intervals. The minimum of Grafana's $__rate_interval is four intervals, and the
 * second window is one interval longer.
 */
const WINDOWS = [4, 5]
const STEP_SECONDS = 0.5

/** The unscaled scrape intervals in milliseconds, in the order in which the Prometheus servers scrape a target. */
const GROUPS = {
  'two servers (15 s, 10 s)': [10_000, 15_000],
  'three servers (15, 30, 60 s)': [60_000, 30_000, 15_000],
} as const
const VALUES = {
  counted: 'a counter that counts by itself',
  set: 'a counter set at stats-update',
} as const
const EXPORTER = 'prosody-exporter'
/** The values of Prosody's setting `statistics_interval`; the seconds are unscaled. */
const PEERS = {
  'mod_http_openmetrics, "manual"': '"manual"',
  'mod_http_openmetrics, 15 s': 15,
  'mod_http_openmetrics, 60 s': 60,
} as const

type Group = keyof typeof GROUPS
type Value = keyof typeof VALUES
/** A target and its scrapers. `mode` is the name of the exporter, with the `statistics_interval` of Prosody. */
type Measured = Meeting & { readonly mode: string; readonly group: Group }

const groups = Object.keys(GROUPS) as Group[]
const intervalsOf = (group: Group) => GROUPS[group].map((ms) => ms / SCALE)

async function startProsody(t: Test, version: Version, interval: string | number) {
  return await withProsody(t, {
    version,
    modules: ['test_rates'],
    globals: {
      statistics_interval: typeof interval === 'number' ? String(interval / SCALE) : interval,
      test_rates_rate: String(RATE),
      test_rates_scale: String(SCALE),
    },
  })
}

/**
 * Starts a Prosody for each target. The exporter has one target for each group of scrapers, so that it does not
 * serve the scrapers of one group from a snapshot that it collected for the other group.
 */
async function startTargets(t: Test, version: Version): Promise<Measured[]> {
  const exporterTargets = groups.map(async (group, i) => {
    const prosody = await startProsody(t, version, '"manual"')
    const exporter = await withExporterFor(t, prosody, {
      env: { PROSODY_EXPORTER_COLLECTION_MIN_AGE: `${250 / SCALE}ms` },
    })
    const target = `${exporter.url}/metrics`
    const name = `exporter-${version}-${i}`
    return { mode: EXPORTER, group, name, target, intervalsMs: intervalsOf(group) }
  })
  const peerTargets = Object.entries(PEERS).map(async ([mode, interval], m) => {
    const target = (await startProsody(t, version, interval)).openmetricsUrl
    return groups.map((group, i) => {
      const name = `peer${m}-${version}-${i}`
      return { mode, group, name, target, intervalsMs: intervalsOf(group) }
    })
  })
  return [...(await Promise.all(exporterTargets)), ...(await Promise.all(peerTargets)).flat()]
}

/** Returns the relative errors of rate() in percent, for every half second after the first complete window. */
async function errorsOf(
  server: RunningPrometheus,
  job: string,
  value: Value,
  intervalMs: number,
): Promise<number[]> {
  const selector = `test_rates_${value}_total{job=${JSON.stringify(job)}}`
  const samples = (await server.history(selector))[0]?.samples ?? []
  const to = samples.at(-1)!.at
  const errors: number[] = []
  for (const window of WINDOWS) {
    // The evaluation starts one interval after the first complete window. In the first window, the counter is near
    // 0, and rate() extrapolates only back to 0.
    const from = samples[0]!.at + ((window + 1) * intervalMs) / 1000
    if (from > to)
      throw new Error(
        'The measurement was shorter than a window of rate(). Measure for more minutes.',
      )
    const query = `rate(${selector}[${window * intervalMs}ms])`
    const [rates] = await server.range(query, { from, to, step: STEP_SECONDS })
    const missing = Math.floor((to - from) / STEP_SECONDS) + 1 - (rates?.samples.length ?? 0)
    if (missing > 0) note(`${job}: rate() returned no value ${missing} times`)
    errors.push(...(rates?.samples ?? []).map((rate) => Math.abs(rate.value / RATE - 1) * 100))
  }
  return errors
}

async function measure(t: Test): Promise<void> {
  const targets: Measured[] = []
  for (const version of prosodyVersions) targets.push(...(await startTargets(t, version)))
  const exporterTargets = targets.filter(({ mode }) => mode === EXPORTER)
  const names = await namesThatMeet(exporterTargets, TIMEOUT_MS)
  const nameOf = (target: Measured, i: number) => names.get(target)?.[i] ?? target.name

  // Each interval of each group has one Prometheus server, which scrapes all targets of the group.
  const scrapers = await Promise.all(
    groups.flatMap((group) =>
      intervalsOf(group).map(async (intervalMs, i) => {
        const scraped = targets
          .filter((target) => target.group === group)
          .map((target) => ({ ...target, name: nameOf(target, i) }))
        const jobs = scraped.map((target) => jobOf(target, intervalMs, TIMEOUT_MS))
        return { group, intervalMs, scraped, server: await withPrometheus(t, { major: '3', jobs }) }
      }),
    ),
  )
  await Promise.all(
    scrapers.flatMap(({ server, scraped }) => scraped.map(({ name }) => server.scrapes(name, 1))),
  )
  note(`measuring for ${RUN_MS / 1000} s`)
  await sleep(RUN_MS)

  await noteDelays(exporterTargets, scrapers, nameOf)
  for (const group of groups) {
    for (const value of Object.keys(VALUES) as Value[]) {
      const errors = new Map<string, number[]>()
      for (const { intervalMs, scraped, server } of scrapers.filter((s) => s.group === group)) {
        for (const { mode, name } of scraped) {
          const found = await errorsOf(server, name, value, intervalMs)
          errors.set(mode, (errors.get(mode) ?? []).concat(found))
          note(`${name} every ${(intervalMs * SCALE) / 1000} s, ${value}: ${shown(found)}`)
        }
      }
      const exporterErrors = errors.get(EXPORTER)!
      for (const peer of Object.keys(PEERS)) {
        report({
          what: `Largest error of rate(), ${group}, ${VALUES[value]}, against ${peer}`,
          ratio: partOf(largest(exporterErrors), largest(errors.get(peer)!)),
          exporter: shown(exporterErrors),
          peer: shown(errors.get(peer)!),
        })
      }
    }
  }
}

const largest = (errors: readonly number[]): Spread => {
  const error = Math.max(...errors)
  return { low: error, median: error, high: error }
}
const percent = (error: number) => `${error.toFixed(error < 10 ? 2 : 0)} %`
const shown = (errors: readonly number[]) =>
  `${percent(Math.max(...errors))} (median ${percent(spread(errors).median)})`

type Scraper = {
  readonly group: Group
  readonly intervalMs: number
  readonly server: RunningPrometheus
}

async function noteDelays(
  exporterTargets: readonly Measured[],
  scrapers: readonly Scraper[],
  nameOf: (target: Measured, i: number) => string,
): Promise<void> {
  for (const target of exporterTargets) {
    const seen = await Promise.all(
      scrapers
        .filter(({ group }) => group === target.group)
        .map(async ({ intervalMs, server }, i) => {
          const [up] = await server.history(`up{job=${JSON.stringify(nameOf(target, i))}}`)
          return { intervalMs, atMs: up!.samples.at(-1)!.at * 1000 }
        }),
    )
    const after = seen.slice(1).map((then, i) => Math.round(latenessMs(seen[i]!, then)))
    note(`${target.name}: each scraper arrives ${after.join(' and ')} ms after the previous one`)
  }
}

const cleanup: (() => unknown)[] = []
try {
  await measure({ after: (f) => cleanup.unshift(f as () => unknown) })
} finally {
  for (const f of cleanup) await f()
}
