import assert from 'node:assert/strict'
import { describe, test, type TestContext } from 'node:test'
import { until } from '../support/setup/process.js'
import xml from '@xmpp/xml'
import { withExporterFor } from '../support/exporter.js'
import { prometheusVersions, withPrometheus } from '../support/prometheus.js'
import { legacyVersion, prosodyVersions, withProsody } from '../support/prosody.js'
import { untilReady } from '../support/real.js'
import { login } from '../support/xmpp-client.js'

type Dashboard = {
  readonly what: string
  /** The value of the setting `exposition.names`. */
  readonly names: string
  readonly on: readonly (typeof legacyVersion | (typeof prosodyVersions)[number])[]
  /** Every query of the dashboard, with values instead of the variables. */
  readonly queries: readonly string[]
}

const DASHBOARDS: readonly Dashboard[] = [
  {
    what: 'for Jitsi (docker-jitsi-meet)',
    names: 'openmetrics',
    on: prosodyVersions,
    queries: [
      'sum(rate(prosody_mod_smacks__sessions_started_total[5m]))',
      'sum(prosody_mod_smacks__session_resumption_expired_total)',
      'sum(prosody_mod_bosh__active_sessions)',
      'sum(prosody_mod_c2s__connections) by (ip_family)',
      'sum(prosody_mod_smacks__tx_queued_stanzas_total)',
      'sum(prosody_mod_measure_stanza_counts__received_total)by(stanza_kind)',
      'sum(rate(prosody_mod_smacks__tx_dropped_stanzas_count[5m]))',
      'sum(rate(prosody_stats_processing_seconds_sum[5m]))*1000000',
      'histogram_quantile(0.90, sum(rate(prosody_stats_processing_seconds_bucket[5m])) by (le))',
      'sum(prosody_mod_muc__room_hit_total{host!~"internal-muc.*"}) by (host)',
      'sum(prosody_mod_muc__live_room{host!~"internal-muc.*"})by(host)',
      'sum(prosody_mod_muc__room_miss_total{host!~"internal-muc.*"})by(host)',
      'sum(prosody_mod_bosh__bad_sid_total)',
      'sum(prosody_mod_bosh__new_sid_total)',
      // Many dashboards have panels with these metrics of a process.
      'rate(process_cpu_seconds_total{job="prosody"}[5m])',
      'process_resident_memory_bytes{job="prosody"}',
    ],
  },
  {
    what: 'with single underscores in metric names',
    names: 'single_underscore',
    on: prosodyVersions,
    queries: [
      'sum(prosody_mod_c2s_connections{job="prosody"})',
      'sum(prosody_mod_bosh_active_sessions{job="prosody"})',
      'sum(prosody_mod_muc_live_room{job="prosody"})',
      'sum(increase(prosody_mod_auth_token_success_total{job="prosody"}[5m]))',
      'sum(increase(prosody_mod_auth_token_verify_fail_total{job="prosody"}[5m]))',
      'sum(increase(prosody_mod_token_verification_fail_total{job="prosody"}[5m]))',
    ],
  },
  {
    what: 'for Prosody 0.11',
    names: 'mod_prometheus',
    on: [legacyVersion, ...prosodyVersions],
    queries: [
      'prosody_mod_c2s{type="connections"}',
      'prosody_mod_c2s{type="ipv6"}',
      'prosody_mod_c2s{type="connections"} - on() prosody_mod_c2s{type="ipv6"}',
      'sum(prosody_mod_muc{type="room_hit"}) by (host)',
      'sum(prosody_mod_muc{type=~"room_(miss|eviction)"}) by (type)',
      'prosody_client_presence{type="available"}',
      'sum(prosody_client_presence) by (type)',
      'sum(prosody_stanza_counts{type=~"incoming_c2s_.*"}) by (type)',
      'prosody_stanza_counts{type="incoming_c2s_message"}',
      'prosody_stats{type="collection",field="average"}',
    ],
  },
]

/** Starts a Prosody with the modules that the dashboards show, and causes some traffic. */
async function startProsody(t: TestContext, version: Dashboard['on'][number]) {
  const isLegacy = version === legacyVersion
  const jid = 'user@one.example'
  const prosody = await withProsody(t, {
    version,
    users: { [jid]: 'pw' },
    modules: ['bosh', 'test_dashboard', ...(isLegacy ? [] : ['smacks'])],
    globals: { muc_room_locking: 'false' },
  })
  const user = await login({ port: prosody.ports.c2s, jid, password: 'pw' })
  t.after(() => user.close())
  if (!isLegacy) user.send(xml('enable', { xmlns: 'urn:xmpp:sm:3', resume: 'true' }))
  user.send(xml('presence'))
  user.send(xml('message', { to: jid }, xml('body', {}, 'x')))
  await user.joinRoom(`room@${prosody.rooms}`, 'nick')
  return prosody
}

describe('published Grafana dashboards', { concurrency: 2 }, () => {
  for (const { what, names, on, queries } of DASHBOARDS) {
    for (const version of on) {
      test(`every query of the published dashboard ${what} has data with Prosody ${version}`, async (t) => {
        const prosody = await startProsody(t, version)
        const exporter = await withExporterFor(t, prosody, {
          env: { PROSODY_EXPORTER_EXPOSITION_NAMES: names },
        })
        await untilReady(exporter, 200)
        const prometheus = await withPrometheus(t, {
          major: prometheusVersions.at(-1)!,
          jobs: [{ name: 'prosody', target: `${exporter.url}/metrics` }],
        })
        await prometheus.scrapes('prosody', 3)
        for (const query of queries) {
          const found = await until(
            async () => {
              const results = await prometheus.query(query)
              return results.length > 0 && results
            },
            { what: `Prometheus has a result for ${query}` },
          )
          for (const { value } of found)
            assert.ok(value >= 0, `the query ${query} has the value ${value}`)
        }
      })
    }
  }
})
