import assert from 'node:assert/strict'
import { once } from 'node:events'
import { connect } from 'node:net'
import { describe, test, type TestContext } from 'node:test'
import { setTimeout as delay } from 'node:timers/promises'
import { until } from '../support/setup/process.js'
import { fairNow } from '../support/fair-clock.js'
import { withExporterFor, type Answer, type RunningExporter } from '../support/exporter.js'
import { prosodyVersions, withProsody, type TestProsody } from '../support/prosody.js'
import {
  complaints,
  evalLua,
  isComplaint,
  logLines,
  sampleValue,
  serverSamples,
  untilReady,
  untilUp,
} from '../support/real.js'

/** Within 5 s after Prosody is back, the exporter must export correct values. */
const RECOVERY_MS = 5000
/** The header that Prometheus sends for a scrape_timeout of one second. */
const ONE_SECOND = { 'X-Prometheus-Scrape-Timeout-Seconds': '1' }
// How long Prosody is frozen. Both times are longer than the timeout of a collection (10 s).
const FREEZE_MS = { '0.12.3': 15_000, '13.0.1': 60_000 }

type Version = (typeof prosodyVersions)[number]

async function startBoth(t: TestContext, version: Version, options = {}) {
  const prosody = await withProsody(t, { version, modules: ['test_eval'], ...options })
  const exporter = await startExporter(t, prosody)
  await untilReady(exporter, 200)
  await untilUp(exporter)
  return { prosody, exporter }
}

function startExporter(t: TestContext, prosody: TestProsody): Promise<RunningExporter> {
  return withExporterFor(t, prosody, {
    flags: ['--log.format=json', '--log.level=debug'],
    // With a minimum age of 0, each scrape causes a collection.
    env: { PROSODY_EXPORTER_COLLECTION_MIN_AGE: '0ms' },
  })
}

function assertDown({ status, text }: Answer): void {
  assert.equal(status, 200)
  assert.equal(sampleValue(text, 'xmpp_up'), 0)
  assert.equal(sampleValue(text, 'prosody_exporter_collector_success{collector="registry"}'), 0)
  assert.deepEqual(serverSamples(text), [])
}

/** Scrapes with a timeout of 1 s until `xmpp_up` is 1. Asserts that this takes less than 5 s. */
async function assertRecovers(t: TestContext, exporter: RunningExporter): Promise<string> {
  const startedAt = fairNow()
  const text = await untilUp(exporter, ONE_SECOND)
  const tookMs = fairNow() - startedAt
  t.diagnostic(`recovered in ${tookMs} ms`)
  assert.ok(tookMs < RECOVERY_MS, `the exporter recovered only after ${tookMs} ms`)
  assert.equal(sampleValue(text, 'prosody_exporter_collector_success{collector="registry"}'), 1)
  assert.equal((await exporter.get('/-/ready')).status, 200)
  return text
}

/** Waits until the exporter has failed to connect `tries` more times. Later, it waits longer between attempts. */
async function untilAttempted(exporter: RunningExporter, tries: number): Promise<void> {
  const count = () =>
    logLines(exporter).filter(({ message }) => message === 'still no stream').length
  const before = count()
  await until(() => count() >= before + tries, {
    what: `the exporter has failed to connect ${tries} more times`,
  })
}

/** Asserts that the exporter logs each problem only once in an outage, not at every scrape or attempt to connect. */
function assertNothingLoggedTwice(exporter: RunningExporter): void {
  const outages: string[][] = [[]]
  for (const { level, message } of logLines(exporter)) {
    if (message.startsWith('connected to Prosody')) outages.push([])
    else if (isComplaint(level)) outages.at(-1)!.push(message)
  }
  for (const lines of outages) assert.deepEqual(lines, [...new Set(lines)])
  assert.ok(outages.flat().length > 0)
}

describe('an outage of Prosody', { concurrency: 2 }, () => {
  // Prosody 13.0 comes first, because it is frozen for 60 s. Meanwhile, the other tests run.
  for (const version of [...prosodyVersions].reverse()) {
    test(`when Prosody ${version} is frozen for ${FREEZE_MS[version] / 1000} s, xmpp_up is 0 within the scrape timeout, and 1 within 5 s after the end`, async (t) => {
      // Prosody 0.12.3 has the default value of component_conflict_resolve. With that value, the old, half-open
      // connection of the exporter must not prevent a new connection.
      const statsOptions = version === '0.12.3' ? { component_conflict_resolve: undefined } : {}
      const { prosody, exporter } = await startBoth(t, version, { statsOptions })
      prosody.kill('SIGSTOP')
      t.after(() => {
        prosody.kill('SIGCONT')
      })
      const frozenAt = performance.now()

      const patient = exporter.get('/metrics')
      while (performance.now() - frozenAt < FREEZE_MS[version]) {
        const startedAt = fairNow()
        assertDown(await exporter.get('/metrics', ONE_SECOND))
        const tookMs = fairNow() - startedAt
        assert.ok(tookMs < 1000, `a scrape with a timeout of 1 s took ${tookMs} ms`)
        await delay(Math.max(0, 1000 - tookMs))
      }
      assertDown(await patient)
      assert.equal((await exporter.get('/-/ready')).status, 503)

      prosody.kill('SIGCONT')
      await assertRecovers(t, exporter)
      assertNothingLoggedTwice(exporter)
    })
  }

  for (const version of prosodyVersions) {
    test(`when Prosody ${version} is killed and restarts with other series, the exporter does not export the old series`, async (t) => {
      const { prosody, exporter } = await startBoth(t, version)
      const before = await exporter.get('/metrics')
      assert.match(before.text, /host="rooms\.one\.example"/)

      prosody.kill('SIGKILL')
      await prosody.server().exited
      const down = await exporter.get('/metrics')
      assertDown(down)
      assert.equal(sampleValue(down.text, 'prosody_exporter_xmpp_connected'), 0)
      assert.equal((await exporter.get('/-/ready')).status, 503)
      await untilAttempted(exporter, 5)
      assertDown(await exporter.get('/metrics'))

      await prosody.restart({
        hosts: ['three.example', 'four.example', 'five.example'],
        modules: ['test_eval', 'test_series'],
        globals: { test_series_count: '3000' },
      })
      const after = await assertRecovers(t, exporter)
      assert.match(after, /host="rooms\.three\.example"/)
      assert.doesNotMatch(after, /rooms\.one\.example/)
      const synthetic = serverSamples(after).filter((line) => line.startsWith('test_series_'))
      assert.equal(synthetic.length, 3000)
      assert.equal(sampleValue(after, 'prosody_exporter_xmpp_connects_total'), 2)

      // This restart is orderly, and Prosody has fewer series afterwards.
      await prosody.restart({ hosts: ['six.example'], modules: ['test_eval'], globals: {} })
      const last = await assertRecovers(t, exporter)
      assert.match(last, /host="rooms\.six\.example"/)
      assert.doesNotMatch(last, /test_series_|rooms\.(one|three)\.example/)
      assertNothingLoggedTwice(exporter)
    })

    test(`the exporter connects to a Prosody ${version} that starts after the exporter`, async (t) => {
      const prosody = await withProsody(t, { version, modules: ['test_eval'] })
      await prosody.stop()
      const exporter = await startExporter(t, prosody)
      const down = await exporter.get('/metrics')
      assertDown(down)
      assert.equal(sampleValue(down.text, 'prosody_exporter_xmpp_connects_total'), 0)
      assert.equal((await exporter.get('/-/ready')).status, 503)
      await untilAttempted(exporter, 5)

      await prosody.restart()
      await assertRecovers(t, exporter)
      const lines = complaints(exporter)
      assert.equal(lines.length, 1)
      assert.match(lines[0]!, /prosody\.cfg\.lua/)
    })

    test(`an exporter that was frozen during a restart of Prosody ${version} exports only series from after the restart`, async (t) => {
      const { prosody, exporter } = await startBoth(t, version)
      t.after(() => {
        exporter.kill('SIGCONT')
      })
      exporter.kill('SIGSTOP')
      // These scrapes arrive while the exporter is frozen.
      const scrapes = Array.from({ length: 5 }, () => exporter.get('/metrics'))
      await prosody.restart({ hosts: ['seven.example'] })
      exporter.kill('SIGCONT')
      for (const { text } of await Promise.all(scrapes)) {
        if (sampleValue(text, 'xmpp_up') === 1) assert.match(text, /rooms\.seven\.example/)
        assert.doesNotMatch(text, /rooms\.one\.example/)
      }
      assert.match(await assertRecovers(t, exporter), /host="rooms\.seven\.example"/)
      assertNothingLoggedTwice(exporter)
    })

    test(`32 simultaneous scrapes cause one collection of Prosody ${version}, even if some clients disconnect`, async (t) => {
      const { prosody, exporter } = await startBoth(t, version)
      await evalLua(
        prosody,
        `updates, commands = 0, 0
        prosody.events.add_handler("stats-update", function () updates = updates + 1 end)
        module:context("stats.one.example"):hook(
          "iq/host/http://jabber.org/protocol/commands:command",
          function () commands = commands + 1 end, 1000)`,
      )
      const collections = 'prosody_exporter_collections_total'
      const { text } = await exporter.get('/metrics')
      const before = sampleValue(text, collections)!
      assert.equal(await evalLua(prosody, 'return commands'), '1')
      // mod_adhoc_statistics collects at most once every 100 ms. Without this reset of its last collection time, the
      // module could answer a second request without a second collection.
      await evalLua(
        prosody,
        `updates, commands = 0, 0
        require "core.statsmanager".get_metric_registry().adhoc_statistics.collected = nil`,
      )

      // Prosody is frozen until all clients have sent their requests.
      prosody.kill('SIGSTOP')
      const clients = await Promise.all(
        Array.from({ length: 32 }, async () => {
          const socket = connect(exporter.port, '127.0.0.1')
          await once(socket, 'connect')
          let received = ''
          socket.setEncoding('utf8').on('data', (data) => (received += String(data)))
          const request = 'GET /metrics HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n'
          await new Promise((resolve) => socket.write(request, resolve))
          return { socket, closed: once(socket, 'close'), received: () => received }
        }),
      )
      // The exporter answers this request only after it has read the requests of all 32 clients.
      assert.equal((await exporter.get('/-/healthy')).status, 200)
      const [leaving, staying] = [clients.slice(0, 12), clients.slice(12)]
      for (const { socket } of leaving) socket.destroy()
      await Promise.all(leaving.map(({ closed }) => closed))
      assert.equal((await exporter.get('/-/healthy')).status, 200)

      prosody.kill('SIGCONT')
      await Promise.all(staying.map(({ closed }) => closed))
      const bodies = staying.map(({ received }) => received().split('\r\n\r\n')[1] ?? '')
      assert.equal(new Set(bodies).size, 1)
      assert.equal(sampleValue(bodies[0]!, 'xmpp_up'), 1)
      assert.ok(serverSamples(bodies[0]!).length > 0)
      assert.equal(sampleValue(bodies[0]!, collections), before + 1)
      assert.equal(await evalLua(prosody, 'return updates.." "..commands'), '1 1')
      assert.equal(sampleValue((await exporter.get('/metrics')).text, collections), before + 2)
    })
  }
})
