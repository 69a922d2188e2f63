/**
 * Tests `prosody-exporter doctor` while the exporter runs as a service. Doctor must find the same problems as without
 * the service, and must not disturb scrapes.
 */

import assert from 'node:assert/strict'
import { setTimeout as sleep } from 'node:timers/promises'
import { describe, test, type TestContext } from 'node:test'
import { until } from '../support/setup/process.js'
import { doctor, DOMAIN, SECRET } from '../support/doctor.js'
import { withExporterFor, type RunningExporter } from '../support/exporter.js'
import { everyVersion, legacyVersion, withProsody, type ProsodyConfig } from '../support/prosody.js'
import { complaints, sampleValue, untilUp } from '../support/real.js'

const RUNS = 10
const SCRAPE_EVERY_MS = 200

/** Reads the output of doctor. Returns each step with its result, except the steps that depend on a running service. */
const stepsOf = (out: string) =>
  [...out.matchAll(/^ {2}(ok|note|FAILED) +(\w+)/gm)]
    .map(([, result, step]) => `${step} ${result}`)
    .filter((step) => !/^(service|name) /.test(step))

/** Scrapes the exporter again and again until `stop` is called. `stop` returns the different values in all scrapes. */
function startScraping(exporter: RunningExporter) {
  const values = {
    up: new Set<unknown>(),
    registry: new Set<unknown>(),
    connects: new Set<unknown>(),
  }
  const stopping = new AbortController()
  let scrapes = 0
  const ended = (async () => {
    while (!stopping.signal.aborted) {
      const { text } = await exporter.get('/metrics')
      scrapes++
      values.up.add(sampleValue(text, 'xmpp_up'))
      values.registry.add(
        sampleValue(text, 'prosody_exporter_collector_success{collector="registry"}'),
      )
      values.connects.add(sampleValue(text, 'prosody_exporter_xmpp_connects_total'))
      await sleep(SCRAPE_EVERY_MS)
    }
  })()
  return {
    async stop() {
      stopping.abort()
      await ended
      return { scrapes, ...values }
    },
  }
}

describe('doctor while the exporter runs as a service', { concurrency: 2 }, () => {
  for (const version of everyVersion) {
    const start = async (t: TestContext, config: ProsodyConfig = {}) => {
      const prosody = await withProsody(t, {
        version,
        // Prosody 0.11 collects at its own interval. With a long interval, it collects only once, so each run of doctor
        // finds the same statistics.
        ...(version === legacyVersion && { globals: { statistics_interval: '3600' } }),
        ...config,
        statsOptions: { component_secret: `"${SECRET}"`, ...config.statsOptions },
      })
      const exporter = () =>
        withExporterFor(
          t,
          { ...prosody, secret: SECRET, statsDomains: [DOMAIN] },
          { stock: true, flags: ['--log.format=json'] },
        )
      return { prosody, exporter, ask: () => doctor(prosody.service) }
    }

    test(`${RUNS} runs of doctor during scrapes do not interrupt the service's stream to Prosody ${version}`, async (t) => {
      const { exporter: startExporter, ask } = await start(t)
      const alone = await ask()
      const exporter = await startExporter()
      await untilUp(exporter)
      const scraping = startScraping(exporter)
      for (let i = 0; i < RUNS; i++) {
        const { code, out, err } = await ask()
        assert.equal(code, 0, out)
        assert.equal(err, '')
        assert.match(out, new RegExp(`ok +service +runs as process ${exporter.pid};`))
        assert.deepEqual(stepsOf(out), stepsOf(alone.out))
      }
      const { scrapes, up, registry, connects } = await scraping.stop()
      t.diagnostic(`${scrapes} scrapes`)
      assert.deepEqual([...up], [1])
      assert.deepEqual([...registry], [1])
      assert.deepEqual([...connects], [1])
      assert.deepEqual(complaints(exporter), [])
    })

    test(`doctor finds the same problems of Prosody ${version} with and without a running service`, async (t) => {
      const {
        exporter: startExporter,
        ask,
        prosody,
      } = await start(t, {
        statsOptions: { modules_enabled: undefined },
      })
      const alone = await ask()
      const exporter = await startExporter()
      await until(async () => sampleValue((await exporter.get('/metrics')).text, 'xmpp_up') === 1, {
        what: 'the service is connected',
      })
      const beside = await ask()
      assert.equal(beside.code, 1)
      assert.match(beside.out, /\nNot working: .*modules_enabled = \{ "adhoc_statistics" \}/)
      assert.doesNotMatch(beside.out, /admin/)
      assert.deepEqual(stepsOf(beside.out), stepsOf(alone.out))

      // After this restart, Prosody loads mod_adhoc_statistics, so doctor must not advise to load it.
      await prosody.restart({ statsOptions: { component_secret: `"${SECRET}"` } })
      await untilUp(exporter)
      const after = await ask()
      assert.equal(after.code, 0, after.out)
      assert.doesNotMatch(after.out, /admin/)
      // On 0.11, the interval of Prosody's statistics is a number, which is no reason for a change.
      assert.ok(after.out.endsWith(` series. Open ${exporter.url}/\n`), after.out)

      // While the service has no stream to Prosody, doctor reports the last error of the service.
      await prosody.stop()
      await until(async () => (await exporter.get('/-/ready')).status === 503, {
        what: 'the service has lost its stream',
      })
      const lost = await ask()
      assert.equal(lost.code, 1)
      assert.match(lost.out, /FAILED connection .*\nNot working: Prosody /)
      assert.doesNotMatch(lost.out, /(?<!FAILED) +login/)
    })
  }
})
