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
/** Of `collection.min_age`, by default. */
const MIN_AGE_SECONDS = 0.25
// Prometheus puts a scrape up to 2 ms before its time, and Prosody's times are told in milliseconds.
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

/** All that a server stored of mod_test_rates, scrape by scrape. */
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
    /** When Prosody was asked to set what is set at collection time. */
    setAt: values['test_rates_started_at']! + values['test_rates_set_total']! / RATE,
  }))
}

describe('rate() and increase() in real Prometheus servers', { concurrency: 2 }, () => {
  for (const version of prosodyVersions) {
    // So far as a value is of its moment, rate() is right: what min_age lets it be wrong by is
    // the formula of docs/performance.md, and bench/rates.ts measures it.
    test(`two get from Prosody ${version} no value older than min_age, of either kind`, async (t) => {
      const { jobs } = await startBoth(t, version)
      // Now they scrape at once, now by turns.
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
          assert.ok(age <= MIN_AGE_SECONDS + ROUNDED_SECONDS, `set ${age} s before its scrape`)
          assert.ok(counted >= countedThen, 'read before what is set at collection time')
        }
        for (const [i, { counted }] of scrapes.slice(1).entries()) {
          assert.ok(counted >= scrapes[i]!.counted, 'a counter that fell')
        }
      }
    })

    test(`with a numeric interval what Prosody ${version} counts is live, and what is set is not`, async (t) => {
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
          { what: 'another value is served' },
        )
        const set = (text: string) => sampleValue(text, 'test_rates_set_total')!
        if (collect === '"auto"') assert.equal(set(after), set(before))
        else assert.ok(set(after) > set(before))
      }
    })

    test(`increase() over restarts of Prosody ${version} misses what nobody saw, and no more`, async (t) => {
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
          { what: 'each server has seen that Prosody is down' },
        )
      const assertIncrease = async (
        server: RunningPrometheus,
        ended: Awaited<ReturnType<typeof restartCounting>>,
        samples: readonly Sample[],
      ) => {
        const { increase, truth, lost } = await increaseAcross(server, COUNTED, ended, samples)
        t.diagnostic(`increase() ${increase} of ${truth}, ${lost} lost`)
        assert.ok(lost >= 0)
        // A millisecond of the window is extrapolated.
        const extrapolated = truth * (0.001 / (samples.at(-1)!.at - samples[0]!.at))
        assert.ok(Math.abs(increase - (truth - lost)) <= extrapolated + 1)
      }

      // The next life begins at 0: a value that falls is a reset to anybody.
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
      const ofFirstLife = seen.flat().filter(({ value }) => value >= 1_000_000)
      assert.deepEqual(ofFirstLife, [])

      // It has overtaken the one before when it is first seen: only its start tells.
      const second = await restartCounting(prosody, 100_000, untilSeenDown)
      await seenSince(second.at)
      const since = first.at
      await assertIncrease(created, second, await untilSeen(created, COUNTED, { since, count: 12 }))
    })
  }
})
