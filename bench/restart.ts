// Measures the error of increase() across a restart of Prosody, in real Prometheus servers. Times are scaled
// down 1:5, except the duration of the restart. The benchmark compares increase() with the true count. No exporter
// can export the increments between the last scrape and the restart, so the benchmark subtracts them. It tests
// two restarts:
// - After the first restart, the counter starts at 0. It started at 1,000,000 before, as if Prosody had run long.
// - After the second restart, the counter starts at 500,000, which is more than before. So no scraped value
//   decreases, and Prometheus cannot detect the restart from the values.
// Run: node --import tsx bench/restart.ts

import { setTimeout as sleep } from 'node:timers/promises'
import { withExporterFor } from '../test/support/exporter.js'
import { withPrometheus } from '../test/support/prometheus.js'
import { prosodyVersions, withProsody } from '../test/support/prosody.js'
import { increaseAcross, restartCounting, untilSeen, type Across } from '../test/support/rates.js'
import { report } from './figure.js'

type Test = Parameters<typeof withProsody>[0]
type Version = (typeof prosodyVersions)[number]

const SCALE = 5
const RUN_MS = 60_000 / SCALE
const MIN_AGE_MS = 250 / SCALE
const TIMEOUT_MS = 10_000 / SCALE
const CREATED = 'created-timestamp-zero-ingestion'
const SERVERS = [
  { what: 'Prometheus 2.42 every 15 s', major: '2', intervalMs: 15_000 / SCALE, features: [] },
  { what: 'Prometheus 3 every 10 s', major: '3', intervalMs: 10_000 / SCALE, features: [] },
  {
    what: `Prometheus 3 every 10 s with ${CREATED}`,
    major: '3',
    intervalMs: 10_000 / SCALE,
    features: [CREATED],
  },
] as const
/** The initial value of the counter at each of the three starts of Prosody. */
const INITIAL = [1_000_000, 0, 500_000] as const
const RESTARTS = ['after a long run', 'with a higher count before the first scrape'] as const

async function startTargets(t: Test, version: Version) {
  const globals = { test_rates_initial: String(INITIAL[0]) }
  const options = { version, modules: ['test_rates'], globals }
  const [prosody, peer] = await Promise.all([withProsody(t, options), withProsody(t, options)])
  const exporter = await withExporterFor(t, prosody, {
    env: { PROSODY_EXPORTER_COLLECTION_MIN_AGE: `${MIN_AGE_MS}ms` },
  })
  return [
    { version, name: `exporter-${version}`, prosody, target: `${exporter.url}/metrics` },
    { version, name: `peer-${version}`, prosody: peer, target: peer.openmetricsUrl },
  ]
}

async function measure(t: Test): Promise<void> {
  const targets = (await Promise.all(prosodyVersions.map((v) => startTargets(t, v)))).flat()
  const servers = await Promise.all(
    SERVERS.map(async ({ what, ...options }) => ({
      what,
      server: await withPrometheus(t, { ...options, jobs: targets, timeoutMs: TIMEOUT_MS }),
    })),
  )
  const selectorOf = (name: string) => `test_rates_counted_total{job=${JSON.stringify(name)}}`
  const untilAllSee = (since: number) =>
    Promise.all(
      servers.flatMap(({ server }) =>
        targets.map(({ name }) => untilSeen(server, selectorOf(name), { since, count: 2 })),
      ),
    )

  const ends = [{ total: NaN, at: 0 }]
  const endsByName = new Map(targets.map(({ name }) => [name, [...ends]]))
  for (const initial of INITIAL.slice(1)) {
    await untilAllSee(Math.max(...[...endsByName.values()].map((ends) => ends.at(-1)!.at)))
    await sleep(RUN_MS)
    await Promise.all(
      targets.map(async ({ name, prosody }) => {
        endsByName.get(name)!.push(await restartCounting(prosody, initial, () => sleep(MIN_AGE_MS)))
      }),
    )
  }
  await untilAllSee(Math.max(...[...endsByName.values()].map((ends) => ends.at(-1)!.at)))
  await sleep(RUN_MS)

  for (const [i, restart] of RESTARTS.entries()) {
    for (const { what, server } of servers) {
      const across = async (name: string) => {
        const [before, end, next] = endsByName.get(name)!.slice(i)
        const all = await untilSeen(server, selectorOf(name), { since: before!.at, count: 2 })
        const samples = all.filter(({ at }) => at < (next?.at ?? Infinity))
        return await increaseAcross(server, selectorOf(name), end!, samples)
      }
      for (const version of prosodyVersions) {
        const exporterResult = await across(`exporter-${version}`)
        const peer = await across(`peer-${version}`)
        report({
          what: `Prosody ${version} restarted ${restart}, ${what}: error of increase(), without lost increments`,
          ratio: `${share(exporterResult)} against ${share(peer)}`,
          exporter: shown(exporterResult),
          peer: shown(peer),
        })
      }
    }
  }
}

/**
 * Formats the error of increase() in percent of the true count, without the increments between the last scrape and
 * the restart.
 */
const share = ({ increase, truth, lost }: Across) =>
  `${Math.abs(((truth - increase - lost) / truth) * 100).toFixed(2)} %`

const shown = ({ increase, truth, lost }: Across) =>
  `misses ${Math.round(truth - increase)} of ${truth}, ${lost} lost`

const cleanup: (() => unknown)[] = []
try {
  await measure({ after: (f) => cleanup.unshift(f as () => unknown) })
} finally {
  for (const f of cleanup) await f()
}
