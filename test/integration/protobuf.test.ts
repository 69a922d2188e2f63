import assert from 'node:assert/strict'
import { describe, test, type TestContext } from 'node:test'
import { gunzipSync } from 'node:zlib'
import { withExporterFor } from '../support/exporter.js'
import {
  prometheusVersions,
  withPrometheus,
  type History,
  type QueryResult,
} from '../support/prometheus.js'
import { prosodyVersions, withProsody } from '../support/prosody.js'
import { decodeFamilies } from '../support/protobuf.js'
import { evalLua, untilReady } from '../support/real.js'

const PROTOBUF =
  'application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited'

/** Lua code that creates a metric of each type that has a creation time, and a gauge, which has no creation time. */
const DECLARE = `
  local metric = require "core.statsmanager".metric
  local function declare(type_, name, extra)
    return metric(type_, "test_created_"..name, "", "Created now", { "host" }, extra):with_labels("a")
  end
  declare("counter", "counter"):add(5)
  declare("summary", "summary"):sample(2)
  declare("histogram", "histogram", { buckets = { 1, 4 } }):sample(2)
  declare("gauge", "gauge"):set(5)
  return tostring(declare("counter", "counter")._created)`

async function startBoth(
  t: TestContext,
  version: (typeof prosodyVersions)[number],
  modules: readonly string[],
) {
  const prosody = await withProsody(t, { version, modules })
  const exporter = await withExporterFor(t, prosody)
  await untilReady(exporter, 200)
  return { prosody, exporter }
}

/** Returns the series with their values, without the series whose values change at each collection. */
function seriesOf(samples: readonly QueryResult[]): Record<string, number> {
  const series = samples
    .filter(
      ({ labels }) =>
        !/^(prosody_(exporter|stats)_(?!build_info|samples_invalid)|xmpp_(loop_lag|process|lua)_)/.test(
          labels['__name__'] ?? '',
        ),
    )
    .map(({ labels, value }) => {
      const pairs = Object.entries(labels).filter(([name]) => name !== 'job' && name !== 'instance')
      return [JSON.stringify(pairs.sort(([a], [b]) => (a < b ? -1 : 1))), value] as const
    })
  return Object.fromEntries(series.sort(([a], [b]) => (a < b ? -1 : 1)))
}

function firstOf(history: readonly History[], name: string): History['samples'][number][] {
  const found = history.filter(({ labels }) => labels['__name__'] === name)
  assert.ok(found.length > 0, `Prometheus has stored no samples of ${name}`)
  return found.map(({ samples }) => samples[0]!)
}

describe('the protobuf format', { concurrency: 2 }, () => {
  for (const version of prosodyVersions) {
    for (const major of prometheusVersions) {
      test(`Prometheus ${major} stores the same series from protobuf as from the text format, with Prosody ${version}`, async (t) => {
        const { exporter } = await startBoth(t, version, ['test_hostile'])
        const target = `${exporter.url}/metrics`
        const jobs = (['text', 'protobuf'] as const).map((format) => ({
          name: format,
          target,
          format,
        }))
        const prometheus = await withPrometheus(t, { major, jobs })
        await Promise.all(jobs.map(({ name }) => prometheus.scrapes(name, 2)))
        const text = seriesOf(await prometheus.samples('text'))
        const protobuf = seriesOf(await prometheus.samples('protobuf'))
        for (const name of [
          'label',
          'number',
          'counter_total',
          'one_bucket_bucket',
          'summary_bytes_sum',
        ]) {
          assert.ok(
            Object.keys(text).some((key) => key.includes(`"test_hostile_${name}"`)),
            name,
          )
        }
        assert.deepEqual(protobuf, text)
      })
    }

    test(`Prometheus 3 stores a sample with the value 0 at the creation time of each counter of Prosody ${version}`, async (t) => {
      const { prosody, exporter } = await startBoth(t, version, ['test_eval'])
      const created = Number(await evalLua(prosody, DECLARE))
      const target = `${exporter.url}/metrics`
      const prometheus = await withPrometheus(t, {
        major: '3',
        features: ['created-timestamp-zero-ingestion'],
        jobs: [
          // With the feature created-timestamp-zero-ingestion, Prometheus requests protobuf by default.
          { name: 'default', target },
          { name: 'protobuf', target, format: 'protobuf' },
          { name: 'text', target, format: 'text' },
        ],
      })
      for (const job of ['default', 'protobuf', 'text']) await prometheus.scrapes(job, 2)

      for (const job of ['default', 'protobuf']) {
        const history = await prometheus.history(`{__name__=~"test_created_.*",job="${job}"}`)
        for (const name of [
          'test_created_counter_total',
          'test_created_summary_count',
          'test_created_summary_sum',
          'test_created_histogram_count',
          'test_created_histogram_sum',
          'test_created_histogram_bucket',
        ]) {
          for (const { at, value } of firstOf(history, name)) {
            assert.equal(value, 0, `the first sample of ${name} in the job ${job} has the value 0`)
            assert.ok(
              Math.abs(at - created) < 0.002,
              `the first sample of ${name} in the job ${job} has the time ${at} instead of ${created}`,
            )
          }
        }
        // A gauge has no creation time, so Prometheus does not add a sample with the value 0.
        assert.equal(firstOf(history, 'test_created_gauge')[0]?.value, 5)
        const counter = history.find(
          ({ labels }) => labels['__name__'] === 'test_created_counter_total',
        )
        assert.deepEqual(new Set(counter?.samples.slice(1).map(({ value }) => value)), new Set([5]))
      }
      const text = await prometheus.history('test_created_counter_total{job="text"}')
      assert.equal(firstOf(text, 'test_created_counter_total')[0]?.value, 5)
    })
  }

  test('a protobuf response has the content type of protobuf, and is compressed if the client accepts gzip', async (t) => {
    const { exporter } = await startBoth(t, prosodyVersions[0], [])
    const plain = await exporter.get('/metrics', { Accept: PROTOBUF })
    assert.equal(
      plain.headers['content-type'],
      `${PROTOBUF.replaceAll(';', '; ')}; escaping=underscores`,
    )
    const up = decodeFamilies(plain.body).find(({ name }) => name === 'xmpp_up')
    assert.equal(up?.metrics[0]?.value, 1)
    const one = await exporter.get('/metrics?name[]=xmpp_up', { Accept: PROTOBUF })
    assert.deepEqual(decodeFamilies(one.body), [up])
    const zipped = await exporter.get('/metrics', { Accept: PROTOBUF, 'Accept-Encoding': 'gzip' })
    assert.equal(zipped.headers['content-encoding'], 'gzip')
    assert.ok(decodeFamilies(gunzipSync(zipped.body)).length > 10)
  })
})
