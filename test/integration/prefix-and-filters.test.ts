import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { until } from '../support/setup/process.js'
import { withExporterFor } from '../support/exporter.js'
import { prometheusVersions, withPrometheus } from '../support/prometheus.js'
import { prosodyVersions, withProsody } from '../support/prosody.js'

describe('path prefixes and filters with a real Prometheus', { concurrency: 2 }, () => {
  for (const major of prometheusVersions) {
    test(`Prometheus ${major} scrapes an exporter with a path prefix, and with the parameters collect[] and exclude[]`, async (t) => {
      const prosody = await withProsody(t, { version: prosodyVersions.at(-1)! })
      const prefix = '/some/where'
      const exporter = await withExporterFor(t, prosody, {
        flags: [`--web.route-prefix=${prefix}`],
        prefix,
        stock: true,
      })
      await until(async () => (await exporter.get(`${prefix}/-/ready`)).status === 200, {
        what: 'the exporter is ready',
      })
      const target = `${exporter.url}${prefix}/metrics`
      const params = (name: string, value: string) => ['params:', `  '${name}[]': [${value}]`]
      const prometheus = await withPrometheus(t, {
        major,
        jobs: [
          { name: 'whole', target },
          { name: 'some', target, extra: params('collect', 'ping, version') },
          { name: 'rest', target, extra: params('exclude', 'registry') },
        ],
      })
      const scrapedBy = async (job: string) => {
        await prometheus.scrapes(job, 2)
        const samples = await prometheus.samples(job)
        const success = samples.filter(
          ({ labels }) => labels.__name__ === 'prosody_exporter_collector_success',
        )
        return {
          collectors: success.map(({ labels }) => labels.collector ?? '').sort(),
          names: new Set(samples.map(({ labels }) => labels.__name__ ?? '')),
        }
      }
      const whole = await scrapedBy('whole')
      assert.ok([...whole.names].some((name) => name.startsWith('prosody_mod_')))
      const some = await scrapedBy('some')
      assert.deepEqual(some.collectors, ['ping', 'version'])
      assert.ok(some.names.has('xmpp_up') && some.names.has('xmpp_ping_seconds'))
      assert.deepEqual(
        [...some.names].filter((name) => name.startsWith('prosody_mod_')),
        [],
      )
      const rest = await scrapedBy('rest')
      assert.deepEqual(
        rest.collectors,
        whole.collectors.filter((name) => name !== 'registry'),
      )
    })
  }
})
