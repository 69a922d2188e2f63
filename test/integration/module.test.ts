import assert from 'node:assert/strict'
import { test } from 'node:test'
import { until } from '../support/setup/process.js'
import { REGISTRY_NODE } from '../../src/collectors/registry/registry.js'
import { withExporterFor } from '../support/exporter.js'
import { prosodyVersions, withProsody } from '../support/prosody.js'
import { evalLua, untilReady } from '../support/real.js'

const FRESH = { PROSODY_EXPORTER_COLLECTION_MIN_AGE: '0s' }

for (const version of prosodyVersions) {
  test(`with the statsd provider, the exporter has all series that Prosody ${version} stores`, async (t) => {
    const prosody = await withProsody(t, {
      version,
      modules: ['test_eval'],
      globals: {
        statistics: '"statsd"',
        statistics_config: '{ statsd_server = "127.0.0.1", statsd_port = 9 }',
      },
    })
    await evalLua(
      prosody,
      `local metric = require "core.statsmanager".metric
      metric("summary", "test_summary", "", "Not stored", { "a" }):with_labels("x"):sample(1)
      metric("counter", "test_counter", "", "Stored", { "a" }):with_labels("x"):add(2)
      metric("histogram", "test_histogram", "", "Stored", {}, { buckets = { 1 } }):with_labels():sample(3)`,
    )
    const exporter = await withExporterFor(t, prosody, { env: FRESH })
    await untilReady(exporter, 200)
    const { text } = await exporter.get('/metrics')
    assert.match(text, /^prosody_exporter_collector_success\{collector="registry"\} 1$/m)
    assert.match(text, /^test_counter_total\{a="x"\} 2$/m)
    assert.match(text, /^test_histogram_sum 3$/m)
    assert.doesNotMatch(text, /^test_summary/m)
    assert.match(text, /^prosody_exporter_samples_invalid\{family="test_summary"\} 1$/m)
  })

  test(`when a stats-update handler of a module fails, the exporter exports no old values of Prosody ${version}`, async (t) => {
    const prosody = await withProsody(t, { version, modules: ['test_eval'] })
    const exporter = await withExporterFor(t, prosody, { env: FRESH })
    await untilReady(exporter, 200)
    await evalLua(
      prosody,
      `function prosody.test_broken() error("a broken handler") end
      prosody.events.add_handler("stats-update", prosody.test_broken, 1000)`,
    )
    const isFailing = /^prosody_exporter_collector_success\{collector="registry"\} 0$/m
    // mod_adhoc_statistics collects at most once every 100 ms. So the first scrapes can have values from before the
    // handler failed.
    await until(async () => isFailing.test((await exporter.get('/metrics')).text), {
      what: 'the registry collector fails',
    })
    for (let i = 0; i < 3; i++) {
      const { text } = await exporter.get('/metrics')
      assert.match(text, /^xmpp_up 1$/m)
      assert.match(text, isFailing)
      assert.doesNotMatch(text, /^prosody_(stats|mod)_/m)
    }
    assert.equal(exporter.stderr().match(/stats-update failed.*a broken handler/g)?.length, 1)
    assert.equal(prosody.log().match(/stats-update failed.*a broken handler/g)?.length, 1)

    await evalLua(prosody, 'prosody.events.remove_handler("stats-update", prosody.test_broken)')
    await until(
      async () => /^prosody_stats_collection/m.test((await exporter.get('/metrics')).text),
      { what: 'the registry collector succeeds again' },
    )
  })

  test(`an exporter above adhoc_statistics_max_share is refused at the start of a collection, and gets statistics later (Prosody ${version})`, async (t) => {
    const prosody = await withProsody(t, {
      version,
      modules: ['test_eval', 'test_series'],
      globals: { test_series_count: '20000' },
      statsOptions: { adhoc_statistics_max_share: '0.0001' },
    })
    const first = await withExporterFor(t, prosody, { env: FRESH })
    await untilReady(first, 200)
    // The remaining time is set below 0, as if earlier requests had used more time than adhoc_statistics_max_share
    // allows.
    await evalLua(
      prosody,
      `local index = require "core.statsmanager".get_metric_registry().adhoc_statistics
      index.accounts.all.left = -0.001
      for _, account in pairs(index.accounts.readers) do account.left = -0.001 end`,
    )
    const refused = await first.get('/metrics')
    assert.match(refused.text, /^prosody_exporter_collector_success\{collector="registry"\} 0$/m)
    assert.match(refused.text, /_failures_total\{reason="refused"\} 1$/m)
    assert.match(first.stderr(), /adhoc_statistics_max_share/)
    await evalLua(
      prosody,
      `local index = require "core.statsmanager".get_metric_registry().adhoc_statistics
      index.accounts.all.left = 0.0001`,
    )
    // The next collection needs more time than remains. The module must not refuse the later pages of a collection
    // that it has begun to answer.
    const served = await first.get('/metrics')
    assert.match(served.text, /^prosody_exporter_collector_success\{collector="registry"\} 1$/m)
    assert.match(served.text, /_failures_total\{reason="refused"\} 1$/m)
  })

  test(`mod_adhoc_statistics logs and ignores invalid values of its options (Prosody ${version})`, async (t) => {
    for (const [option, value] of [
      ['adhoc_statistics_max_share', '25'],
      ['adhoc_statistics_max_share', '"a quarter"'],
      ['statistics_collect', '"allways"'],
    ] as const) {
      const prosody = await withProsody(t, {
        version,
        statsDomains: ['stats.one.example'],
        statsOptions: { [option]: value },
      })
      assert.match(prosody.log(), new RegExp(`${option} must be`))
      await untilReady(await withExporterFor(t, prosody), 200)
      await prosody.stop()
    }
  })

  test(`the time for sending a page of statistics counts for adhoc_statistics_max_share (Prosody ${version})`, async (t) => {
    const prosody = await withProsody(t, { version, modules: ['test_eval'] })
    const domain = prosody.statsDomains[0]!
    const left = await evalLua(
      prosody,
      `local st = require "util.stanza"
      local sent = 0
      local session = { type = "component", host = "${domain}", conn = {}, send = function ()
        sent = sent + 1
        local started = os.clock()
        repeat until os.clock() - started >= 0.2
      end }
      prosody.core_process_stanza(session,
        st.iq({ type = "set", id = "1", from = "${domain}", to = "${domain}" })
          :tag("command", { xmlns = "http://jabber.org/protocol/commands", node = "${REGISTRY_NODE}" })
            :tag("statistics", { xmlns = "${REGISTRY_NODE}" }))
      assert(sent == 1)
      return require "core.statsmanager".get_metric_registry().adhoc_statistics.accounts.all.left`,
    )
    assert.ok(Number(left) <= 4.8, left)
  })

  test(`an exposition with the parameter name[] has only lines of the full exposition (Prosody ${version})`, async (t) => {
    const prosody = await withProsody(t, { version, modules: ['test_hostile'] })
    const exporter = await withExporterFor(t, prosody, {
      env: { PROSODY_EXPORTER_COLLECTION_MIN_AGE: '5s' },
    })
    await untilReady(exporter, 200)
    const get = async (path: string) => (await exporter.get(path)).text
    const allLines = new Set((await get('/metrics')).split('\n'))
    for (const name of ['test_hostile_summed_count', 'test_hostile_clash_total', 'xmpp_up']) {
      const lines = (await get(`/metrics?name[]=${name}`)).split('\n')
      assert.deepEqual(
        lines.filter((line) => !allLines.has(line)),
        [],
      )
    }
    assert.match(await get('/metrics?name[]=xmpp_up&name[]=nothing'), /^xmpp_up 1\n$/m)
  })
}
