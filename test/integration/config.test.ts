import assert from 'node:assert/strict'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, test, type TestContext } from 'node:test'
import { until } from '../support/setup/process.js'
import { withExporterFor } from '../support/exporter.js'
import { prometheusVersions, withPrometheus } from '../support/prometheus.js'
import { prosodyVersions, withProsody } from '../support/prosody.js'
import { untilReady } from '../support/real.js'

const SERIES = { test_series_count: '300', test_series_families: '3' }

async function startBoth(t: TestContext, version: (typeof prosodyVersions)[number], yaml: string) {
  const prosody = await withProsody(t, { version, modules: ['test_series'], globals: SERIES })
  const file = join(prosody.dir, 'exporter.yml')
  await writeFile(file, yaml)
  const exporter = await withExporterFor(t, prosody, { flags: [`--config.file=${file}`] })
  await untilReady(exporter, 200)
  return { prosody, exporter }
}

const countOf = (text: string, pattern: RegExp) => text.match(pattern)?.length ?? 0

describe('the configuration file, with a real Prosody', { concurrency: 2 }, () => {
  for (const version of prosodyVersions) {
    test(`with Prosody ${version}, the exporter excludes families that the configuration drops, and names families that it excludes because of the series limit`, async (t) => {
      const { exporter } = await startBoth(
        t,
        version,
        `
registry:
  drop:
    - family: test_series_1_total
    - { family: test_series_2, labels: { host: 'host[0-4]\\.example\\.com' } }
limits: { series: 140 }
`,
      )
      const { text } = await exporter.get('/metrics')
      assert.equal(countOf(text, /test_series_1/g), 0)
      assert.equal(countOf(text, /^test_series_2_total\{host="host[5-9]\.example\.com"/gm), 50)
      assert.equal(countOf(text, /^test_series_2_total\{/gm), 50)
      // The exporter excludes the largest family. Without it, the number of series is within the limit.
      assert.equal(countOf(text, /^test_series_3_total/gm), 0)
      assert.deepEqual(text.match(/^prosody_exporter_series_left_out\{.*/gm), [
        'prosody_exporter_series_left_out{family="test_series_3"} 100',
      ])
      assert.match(text, /^prosody_mod_muc__live_room/m)
      await exporter.get('/metrics')
      const lines = exporter.stderr().match(/^.*limits\.series.*$/gm) ?? []
      assert.equal(lines.length, 1)
      assert.match(lines[0], /families=test_series_3/)
    })
  }

  for (const major of prometheusVersions) {
    for (const format of ['text', 'openmetrics', 'protobuf'] as const) {
      if (major === '2' && format === 'protobuf') continue // Prometheus 2 does not request protobuf by default.
      test(`with exposition.timestamps, Prometheus ${major} stores samples from ${format} with the time of the collection`, async (t) => {
        const { exporter } = await startBoth(
          t,
          '0.12.3',
          'collection: { min_age: 4m }\nexposition: { timestamps: true, created: true }\n',
        )
        const { text } = await exporter.get('/metrics')
        const stamp = /^test_series_1_total\{.*\} \S+ (\d{13})$/m.exec(text)?.[1]
        assert.ok(stamp, 'the sample has a timestamp in milliseconds')
        const prometheus = await withPrometheus(t, {
          major,
          jobs: [{ name: 'prosody', target: `${exporter.url}/metrics`, format }],
        })
        await prometheus.scrapes('prosody', 4)
        for (const name of ['test_series_1_total', 'prosody_mod_muc__live_room']) {
          const series = await prometheus.history(name)
          assert.ok(series.length > 0)
          for (const { samples } of series) {
            assert.deepEqual(
              samples.map(({ at }) => at),
              [Number(stamp) / 1000],
            )
          }
        }
        // The samples about the exporter have no timestamp, so Prometheus stores them with the time of each scrape.
        const [up] = await prometheus.history('xmpp_up')
        assert.ok(up!.samples.length >= 4)
      })
    }
  }

  test('with exposition.timestamps, Prometheus ends removed series immediately only if track_timestamps_staleness is set', async (t) => {
    const { prosody, exporter } = await startBoth(
      t,
      '13.0.1',
      'collection: { min_age: 0s }\nexposition: { timestamps: true }\n',
    )
    const target = `${exporter.url}/metrics`
    const prometheus = await withPrometheus(t, {
      major: '3',
      jobs: [
        { name: 'tracking', target, extra: ['track_timestamps_staleness: true'] },
        { name: 'default', target },
      ],
    })
    await prometheus.scrapes('tracking', 2)
    await prometheus.scrapes('default', 2)
    const countSeries = async (job: string) =>
      (await prometheus.query(`test_series_1_total{job="${job}"}`)).length
    assert.equal(await countSeries('tracking'), 100)
    assert.equal(await countSeries('default'), 100)
    await prosody.stop()
    await until(async () => (await countSeries('tracking')) === 0, {
      what: 'the removed series have ended in Prometheus',
    })
    await prometheus.scrapes('default', 2)
    assert.equal(await countSeries('default'), 100)
  })
})
