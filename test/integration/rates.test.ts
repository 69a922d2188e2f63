import assert from 'node:assert/strict'
import { describe, test, type TestContext } from 'node:test'
import { until } from '../support/setup/process.js'
import { withExporterFor } from '../support/exporter.js'
import { withPrometheus, type RunningPrometheus } from '../support/prometheus.js'
import { prosodyVersions, withProsody, type LuaOptions } from '../support/prosody.js'
import { increaseAcross, restartCounting, untilSeen, type Sample } from '../support/rates.js'
import { sampleValue, untilReady } from '../support/real.js'

type Version = (typeof prosodyVersions)[number]

const RATE = 1000
/** The default of `collection.min_age`. */
const MIN_AGE_SECONDS = 0.25
// The tolerance for rounded times: Prometheus moves timestamps by up to 2 ms, and Prosody's times are exact to 1 ms.
const ROUNDED_SECONDS = 0.004
const COUNTED = 'test_rates_counted_total'

async function startBoth(t: TestContext, version: Version, globals: LuaOptions = {}) {
  const prosody = await withProsody(t, {
    version,
    modules: ['test_rates'],
    globals: { test_rates_rate: String(RATE), ...globals },
  })
  const exporter = await withExporterFor(t, prosody)
  await untilReady(exporter, 200)
  return { prosody, exporter, jobs: [{ name: 'prosody', target: `${exporter.url}/metrics` }] }
}

/** Returns the samples of mod_test_rates that Prometheus stored, with one object for each scrape. */
async function scrapesOf(server: RunningPrometheus) {
  const history = await server.history('{__name__=~"test_rates_.*"}')
  const scrapes = new Map<number, Record<string, number>>()
  for (const { labels, samples } of history) {
    for (const { at, value } of samples) {
      scrapes.set(at, { ...scrapes.get(at), [labels['__name__']!]: value })
    }
  }
  return [...scrapes].map(([at, values]) => ({
    at,
    counted: values[COUNTED]!,
    countedThen: values['test_rates_counted_then']!,
    /** The time of the Prosody collection that set the counter `test_rates_set_total`. */
    setAt: values['test_rates_started_at']! + values['test_rates_set_total']! / RATE,
  }))
}

describe('rate() and increase() in real Prometheus servers', { concurrency: 2 }, () => {
  for (const version of prosodyVersions) {
    // The error of rate() depends on the age of the values. docs/performance.md has the formula for the error
    // that min_age allows, and bench/rates.ts measures the error.
    test(`two Prometheus servers get no value of Prosody ${version} that is older than min_age`, async (t) => {
      const { jobs } = await startBoth(t, version)
      // With these intervals, the two Prometheus servers sometimes scrape at the same time and sometimes alternately.
      const servers = await Promise.all([
        withPrometheus(t, { major: '2', jobs, intervalMs: 700 }),
        withPrometheus(t, { major: '3', jobs, intervalMs: 500 }),
      ])
      await Promise.all(
        servers.map((server) => untilSeen(server, COUNTED, { since: 0, count: 16 })),
      )
      for (const server of servers) {
        const scrapes = await scrapesOf(server)
        for (const { at, setAt, counted, countedThen } of scrapes) {
          const age = at - setAt
          assert.ok(
            age <= MIN_AGE_SECONDS + ROUNDED_SECONDS,
            `Prosody set a value ${age} s before the scrape that returned it`,
          )
          assert.ok(
            counted >= countedThen,
            'the counter was read before the counter that is set at stats-update',
          )
        }
        for (const [i, { counted }] of scrapes.slice(1).entries()) {
          assert.ok(counted >= scrapes[i]!.counted, 'the value of a counter decreased')
        }
      }
    })

    test(`with a numeric statistics_interval of Prosody ${version}, counters are current, but values set at stats-update are from the last interval`, async (t) => {
      for (const collect of ['"auto"', '"always"']) {
        const { exporter } = await startBoth(t, version, {
          statistics_interval: '3600',
          statistics_collect: collect,
        })
        const scrape = async () => (await exporter.get('/metrics')).text
        const before = await scrape()
        const after = await until(
          async () => {
            const text = await scrape()
            return sampleValue(text, COUNTED)! > sampleValue(before, COUNTED)! && text
          },
          { what: 'a scrape returns a changed value' },
        )
        const set = (text: string) => sampleValue(text, 'test_rates_set_total')!
        if (collect === '"auto"') assert.equal(set(after), set(before))
        else assert.ok(set(after) > set(before))
      }
    })

    test(`increase() over restarts of Prosody ${version} misses only events after the last scrape before a restart`, async (t) => {
      const { prosody, jobs } = await startBoth(t, version, { test_rates_initial: '1000000' })
      const [plain, created] = await Promise.all([
        withPrometheus(t, { major: '2', jobs }),
        withPrometheus(t, {
          major: '3',
          jobs,
          features: ['created-timestamp-zero-ingestion'],
        }),
      ])
      const servers = [plain, created]
      const seenSince = (since: number) =>
        Promise.all(servers.map((server) => untilSeen(server, COUNTED, { since, count: 6 })))
      const untilSeenDown = () =>
        until(
          async () => {
            const answers = await Promise.all(servers.map((server) => server.query('xmpp_up == 0')))
            return answers.every(({ length }) => length === 1)
          },
          { what: 'each Prometheus server has stored xmpp_up 0' },
        )
      const assertIncrease = async (
        server: RunningPrometheus,
        ended: Awaited<ReturnType<typeof restartCounting>>,
        samples: readonly Sample[],
      ) => {
        const { increase, truth, lost } = await increaseAcross(server, COUNTED, ended, samples)
        t.diagnostic(`increase() ${increase} of ${truth}, ${lost} lost`)
        assert.ok(lost >= 0)
        // The range for increase() is 1 ms longer than the time between the samples, and increase() extrapolates to it.
        const extrapolated = truth * (0.001 / (samples.at(-1)!.at - samples[0]!.at))
        assert.ok(Math.abs(increase - (truth - lost)) <= extrapolated + 1)
      }

      // After the first restart, the counter starts at 0. Prometheus detects the reset from the lower value, with or
      // without creation times.
      await seenSince(0)
      const first = await restartCounting(prosody, 0, untilSeenDown)
      const seen = await seenSince(first.at)
      for (const server of servers) {
        await assertIncrease(
          server,
          first,
          await untilSeen(server, COUNTED, { since: 0, count: 12 }),
        )
      }
      const ofFirstInstance = seen.flat().filter(({ value }) => value >= 1_000_000)
      assert.deepEqual(ofFirstInstance, [])

      // After the second restart, the counter is higher than before at the first scrape. So Prometheus can detect the
      // reset only from the creation time.
      const second = await restartCounting(prosody, 100_000, untilSeenDown)
      await seenSince(second.at)
      const since = first.at
      await assertIncrease(created, second, await untilSeen(created, COUNTED, { since, count: 12 }))
    })
  }
})
