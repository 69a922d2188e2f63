// The error of rate() in real Prometheus servers, two (15 s and 10 s) and three (15, 30 and 60 s) of
// them, all times scaled down 1:5: over four and five intervals of each, evaluated twice a second, of
// one counter that counts by itself and one that is set at stats-update, both at a known rate.
// prosody-exporter's scrapers are those that come 40 ms (scaled) after one another, which is about the
// worst for it: the later is served what the earlier got, if not always.
//
// What the measure adds: Prometheus stamps a sample with the time at which the scrape was to start,
// within 2 ms, and the counter counts every 2 ms: together 0.07 % of the shortest window, and more
// on a machine that is busy.
// Run: node --import tsx bench/rates.ts [minutes of scaled time], for 10 minutes about 3 real ones

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
/** In intervals: Grafana's $__rate_interval at its least, and a window that the intervals don't divide. */
const WINDOWS = [4, 5]
const STEP_SECONDS = 0.5

/** Intervals in milliseconds, unscaled, from who comes first to who comes last. */
const GROUPS = {
  'two servers (15 s, 10 s)': [10_000, 15_000],
  'three servers (15, 30, 60 s)': [60_000, 30_000, 15_000],
} as const
const VALUES = {
  counted: 'a counter that counts by itself',
  set: 'a counter set at stats-update',
} as const
const OURS = 'prosody-exporter'
/** `statistics_interval`, unscaled. */
const PEERS = {
  'mod_http_openmetrics, "manual"': '"manual"',
  'mod_http_openmetrics, 15 s': 15,
  'mod_http_openmetrics, 60 s': 60,
} as const

type Group = keyof typeof GROUPS
type Value = keyof typeof VALUES
/** One target and who scrapes it. */
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

/** Ours has a Prosody for each group: what one scraper triggers is not to serve another group. */
async function startTargets(t: Test, version: Version): Promise<Measured[]> {
  const ours = groups.map(async (group, i) => {
    const prosody = await startProsody(t, version, '"manual"')
    const exporter = await withExporterFor(t, prosody, {
      env: { PROSODY_EXPORTER_COLLECTION_MIN_AGE: `${250 / SCALE}ms` },
    })
    const target = `${exporter.url}/metrics`
    const name = `ours-${version}-${i}`
    return { mode: OURS, group, name, target, intervalsMs: intervalsOf(group) }
  })
  const theirs = Object.entries(PEERS).map(async ([mode, interval], m) => {
    const target = (await startProsody(t, version, interval)).openmetricsUrl
    return groups.map((group, i) => {
      const name = `peer${m}-${version}-${i}`
      return { mode, group, name, target, intervalsMs: intervalsOf(group) }
    })
  })
  return [...(await Promise.all(ours)), ...(await Promise.all(theirs)).flat()]
}

/** Relative errors of rate() at each moment from the first whole window on, in per cent. */
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
    // One interval more: in the first window rate() guesses where a counter near 0 began.
    const from = samples[0]!.at + ((window + 1) * intervalMs) / 1000
    if (from > to) throw new Error('the run is too short for a window of the longest interval')
    const query = `rate(${selector}[${window * intervalMs}ms])`
    const [rates] = await server.range(query, { from, to, step: STEP_SECONDS })
    const missing = Math.floor((to - from) / STEP_SECONDS) + 1 - (rates?.samples.length ?? 0)
    if (missing > 0) note(`${job}: rate() had no answer ${missing} times`)
    errors.push(...(rates?.samples ?? []).map((rate) => Math.abs(rate.value / RATE - 1) * 100))
  }
  return errors
}

async function measure(t: Test): Promise<void> {
  const targets: Measured[] = []
  for (const version of prosodyVersions) targets.push(...(await startTargets(t, version)))
  const ours = targets.filter(({ mode }) => mode === OURS)
  const names = await namesThatMeet(ours, TIMEOUT_MS)
  const nameOf = (target: Measured, i: number) => names.get(target)?.[i] ?? target.name

  // A server for each interval of each group, with all targets.
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
  note(`${RUN_MS / 1000} s from now`)
  await sleep(RUN_MS)

  await noteLateness(ours, scrapers, nameOf)
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
      const mine = errors.get(OURS)!
      for (const peer of Object.keys(PEERS)) {
        report({
          what: `Largest error of rate(), ${group}, ${VALUES[value]}, against ${peer}`,
          ratio: partOf(largest(mine), largest(errors.get(peer)!)),
          ours: shown(mine),
          theirs: shown(errors.get(peer)!),
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

async function noteLateness(
  ours: readonly Measured[],
  scrapers: readonly Scraper[],
  nameOf: (target: Measured, i: number) => string,
): Promise<void> {
  for (const target of ours) {
    const seen = await Promise.all(
      scrapers
        .filter(({ group }) => group === target.group)
        .map(async ({ intervalMs, server }, i) => {
          const [up] = await server.history(`up{job=${JSON.stringify(nameOf(target, i))}}`)
          return { intervalMs, atMs: up!.samples.at(-1)!.at * 1000 }
        }),
    )
    const after = seen.slice(1).map((then, i) => Math.round(latenessMs(seen[i]!, then)))
    note(`${target.name}: one comes ${after.join(' and ')} ms after the other`)
  }
}

const cleanup: (() => unknown)[] = []
try {
  await measure({ after: (f) => cleanup.unshift(f as () => unknown) })
} finally {
  for (const f of cleanup) await f()
}
