/** `prosody-exporter doctor` beside a service that is scraped: it finds out the same, and takes nothing. */

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

/** Each step with its result, but those that only one of the two ways has. */
const stepsOf = (out: string) =>
  [...out.matchAll(/^ {2}(ok|note|FAILED) +(\w+)/gm)]
    .map(([, result, step]) => `${step} ${result}`)
    .filter((step) => !/^(service|name) /.test(step))

/** Scrapes until `stop`; what each scrape said. */
function scrapeAlways(exporter: RunningExporter) {
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

describe('doctor beside a service', { concurrency: 2 }, () => {
  for (const version of everyVersion) {
    const start = async (t: TestContext, config: ProsodyConfig = {}) => {
      const prosody = await withProsody(t, {
        version,
        // With 0.11 it collects by itself: once only, so that each doctor finds the same.
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

    test(`${RUNS} times, while Prosody ${version} is scraped, costs no stream`, async (t) => {
      const { exporter: startExporter, ask } = await start(t)
      const alone = await ask()
      const exporter = await startExporter()
      await untilUp(exporter)
      const scraping = scrapeAlways(exporter)
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

    test(`finds beside it what is wrong with Prosody ${version}`, async (t) => {
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
        what: 'it is connected',
      })
      const beside = await ask()
      assert.equal(beside.code, 1)
      assert.match(beside.out, /FAILED statistics .*modules_enabled = \{ "adhoc_statistics" \}/)
      assert.match(beside.out, /note +rights +users, s2s, modules: no data/)
      assert.deepEqual(stepsOf(beside.out), stepsOf(alone.out))

      // The module comes, and what was advised is no longer true.
      await prosody.restart({ statsOptions: { component_secret: `"${SECRET}"` } })
      await untilUp(exporter)
      const after = await ask()
      assert.equal(after.code, 0, after.out)
      assert.doesNotMatch(after.out, /note +rights/)

      // No stream: the last error of the service.
      await prosody.stop()
      await until(async () => (await exporter.get('/-/ready')).status === 503, {
        what: 'it is lost',
      })
      const lost = await ask()
      assert.equal(lost.code, 1)
      assert.match(
        lost.out,
        /FAILED connection .*\(the service's last error; it retries by itself\)/,
      )
      assert.doesNotMatch(lost.out, /(?<!FAILED) +login/)
    })
  }
})
