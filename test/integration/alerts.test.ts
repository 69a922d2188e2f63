// Tests that each alert of deploy/prometheus/rules.yml fires in a real Prometheus when a real Prosody has the problem.
// Only the times in the rules are shorter than in production.
// Three alerts are missing here: only a defect of the exporter causes ProsodyAuditMismatch, ProsodyMemoryDoubledInAWeek
// differs from ProsodyMemoryGrowth only in its times, and ProsodyExporterMessagesFailing needs attempts that fail for a long
// time. The tests of promtool include them. outside-faults.test.ts provokes what the checks from outside find.

import assert from 'node:assert/strict'
import { once } from 'node:events'
import { copyFileSync, writeFileSync } from 'node:fs'
import { connect } from 'node:net'
import { join } from 'node:path'
import { describe, test, type TestContext } from 'node:test'
import xml from '@xmpp/xml'
import { repeat, shortenRules } from '../support/alert-rules.js'
import { temporaryDirectory, until } from '../support/setup/process.js'
import { withExporterFor, type RunningExporter } from '../support/exporter.js'
import { withPrometheus } from '../support/prometheus.js'
import { prosodyVersions, SECRET, withProsody } from '../support/prosody.js'
import { evalLua, untilReady } from '../support/real.js'
import { makeCertificates, speakNonsense } from '../support/traffic.js'
import { alertmanagerPayload } from '../support/webhook-payloads.js'
import { authenticate, login } from '../support/xmpp-client.js'

const HOST = 'one.example'
const [OTHER, BARE] = ['stats.two.example', 'bare.one.example']
const JID = `user@${HOST}`

/** Starts a Prometheus with the alert rules, and with one job for each exporter. */
async function startWatching(
  t: TestContext,
  { exporters, times }: { exporters: Readonly<Record<string, RunningExporter>>; times: number },
) {
  const prometheus = await withPrometheus(t, {
    major: '3',
    jobs: Object.entries(exporters).map(([name, { url }]) => ({ name, target: `${url}/metrics` })),
    intervalMs: 500,
    rules: shortenRules(times),
  })
  const firing = async (alert: string) =>
    (await prometheus.alerts()).filter(
      ({ labels, state }) => labels.alertname === alert && state === 'firing',
    )
  return {
    ...prometheus,
    firing,
    /** Waits until the alert fires with the given labels. */
    async untilFires(alert: string, labels: Readonly<Record<string, string>> = {}) {
      await until(
        async () =>
          (await firing(alert)).some((found) =>
            Object.entries(labels).every(([name, value]) => found.labels[name] === value),
          ),
        { what: `${alert} ${JSON.stringify(labels)} fires`, everyMs: 250 },
      )
    },
  }
}

/** Connects to a port and disconnects, without a login. */
async function connectOnly(port: number) {
  const socket = connect(port, '127.0.0.1')
  await once(socket, 'connect')
  socket.destroy()
}

describe('alerts in a real Prometheus', { concurrency: 3 }, () => {
  test('the alert about unreached recipients fires for a recipient that does not exist, with the label for the second receiver', async (t) => {
    const prosody = await withProsody(t, { version: '13.0.1', hosts: [HOST] })
    const { path, remove } = await temporaryDirectory('prosody-exporter-rules')
    t.after(remove)
    const token = join(path, 'token')
    writeFileSync(token, 'abc', { mode: 0o600 })
    const exporter = await withExporterFor(t, prosody, {
      env: {
        PROSODY_EXPORTER_ALERTS_TO: `nobody@${HOST}`,
        PROSODY_EXPORTER_ALERTS_TOKEN_FILE: token,
      },
    })
    await untilReady(exporter, 200)
    const prometheus = await startWatching(t, { exporters: { prosody: exporter }, times: 240 })
    await prometheus.scrapes('prosody', 2)
    let count = 0
    repeat(t, 500, () =>
      fetch(`${exporter.url}/alerts`, {
        method: 'POST',
        headers: { Authorization: 'Bearer abc' },
        body: JSON.stringify(alertmanagerPayload({ groupKey: `{}:{n="${++count}"}` })),
      }),
    )
    await prometheus.untilFires('ProsodyExporterRecipientUnreached', {
      job: 'prosody',
      without_xmpp: 'true',
    })
    assert.deepEqual(await prometheus.firing('ProsodyExporterMessagesFailing'), [])
  })

  for (const version of prosodyVersions) {
    test(`the alerts about certificates, limits, configuration and availability fire for problems of Prosody ${version}`, async (t) => {
      const certificates = await makeCertificates(t, [HOST], 2)
      const prosody = await withProsody(t, {
        version,
        hosts: [HOST],
        globals: { certificates: JSON.stringify(certificates) },
        components: [{ domain: BARE, options: { component_secret: `"${SECRET}"` } }],
      })
      const { path, remove } = await temporaryDirectory('prosody-exporter-rules')
      t.after(remove)
      const file = join(path, 'exporter.yml')
      writeFileSync(file, 'collection: {min_age: 0s}\n')
      const good = await withExporterFor(t, prosody, { flags: [`--config.file=${file}`] })
      // The component of this exporter does not have mod_adhoc_statistics.
      const bare = await withExporterFor(t, prosody, { domain: BARE })
      const limited = await withExporterFor(t, prosody, {
        domain: OTHER,
        env: { PROSODY_EXPORTER_LIMITS_SERIES: '40' },
      })
      await untilReady(good, 200)
      const prometheus = await startWatching(t, {
        exporters: { prosody: good, 'prosody-bare': bare, 'prosody-limited': limited },
        times: 240,
      })
      await Promise.all([
        prometheus.untilFires('ProsodyCertificateExpires', { job: 'prosody', host: HOST }),
        prometheus.untilFires('ProsodyCertificateExpiresSoon', { job: 'prosody', host: HOST }),
        prometheus.untilFires('ProsodyCollectionFailing', {
          job: 'prosody-bare',
          collector: 'registry',
        }),
        prometheus.untilFires('ProsodySeriesLimitReached', { job: 'prosody-limited' }),
      ])
      const names = async () =>
        new Set(
          (await prometheus.alerts())
            .filter(({ labels }) => labels.job === 'prosody' || labels.server !== undefined)
            .map(({ labels }) => labels.alertname),
        )
      // Apart from its certificate, Prosody has no problem yet, so no other alert may fire.
      assert.deepEqual(
        await names(),
        new Set(['ProsodyCertificateExpires', 'ProsodyCertificateExpiresSoon']),
      )

      writeFileSync(file, 'collection: {min_age: never}\n')
      good.kill('SIGHUP')
      const renewed = await makeCertificates(t, [HOST], 2)
      for (const name of [`${HOST}.crt`, `${HOST}.key`])
        copyFileSync(join(renewed, name), join(certificates, name))
      await Promise.all([
        prometheus.untilFires('ProsodyExporterConfigRejected', { job: 'prosody' }),
        prometheus.untilFires('ProsodyCertificateNotLoaded', { job: 'prosody', host: HOST }),
      ])

      await prosody.stop()
      const server = new URL(good.url).host
      await Promise.all([
        prometheus.untilFires('XmppServerDown', { server }),
        prometheus.untilFires('ProsodyComponentLinkLost', { job: 'prosody' }),
      ])
      await until(async () => (await prometheus.firing('ProsodyCollectionFailing')).length === 0, {
        what: 'no alert about collectors fires for a server that is down',
      })

      await prosody.restart()
      await until(async () => (await prometheus.firing('XmppServerDown')).length === 0, {
        what: 'XmppServerDown is resolved',
      })
      await good.stop()
      await prometheus.untilFires('ProsodyExporterDown', { job: 'prosody' })
    })

    test(`the alerts about logins and connections between servers fire for problems of Prosody ${version}`, async (t) => {
      const prosody = await withProsody(t, {
        version,
        hosts: [HOST],
        users: { [JID]: 'pw' },
        modules: ['test_dns', 'test_eval'],
      })
      const port = prosody.ports.c2s
      const exporter = await withExporterFor(t, prosody)
      await untilReady(exporter, 200)
      const user = await login({ port, jid: JID, password: 'pw' })
      t.after(() => user.close())

      repeat(t, 200, () => authenticate({ port, jid: JID, password: 'wrong' }))
      // Each message goes to a different server, and all these servers refuse connections. With only one server,
      // Prosody would not immediately try to connect again.
      let i = 0
      repeat(t, 200, () => {
        user.send(xml('message', { to: `x@gone${i++}.example` }, xml('body', {}, 'text')))
        return Promise.resolve()
      })
      repeat(t, 200, () => speakNonsense(prosody.ports.s2s, HOST))

      const prometheus = await startWatching(t, { exporters: { prosody: exporter }, times: 60 })
      const labels = { job: 'prosody', host: HOST }
      await Promise.all([
        prometheus.untilFires('XmppLoginFailures', labels),
        prometheus.untilFires('ProsodyS2sOutgoingFailures', labels),
        prometheus.untilFires('ProsodyS2sClosedWithError', { ...labels, direction: 'incoming' }),
      ])
    })

    test(`the alerts about memory, file descriptors, floods and registrations fire for problems of Prosody ${version}`, async (t) => {
      const prosody = await withProsody(t, { version, hosts: [HOST], modules: ['test_eval'] })
      const exporter = await withExporterFor(t, prosody)
      await untilReady(exporter, 200)
      const labels = { job: 'prosody' }
      const exporters = { prosody: exporter }
      const hurried = await startWatching(t, { exporters, times: 2400 })
      const prometheus = await startWatching(t, { exporters, times: 60 })
      await until(
        async () => {
          const old = 'instance:xmpp_process_resident_memory_bytes:min1h offset 36s'
          return (await hurried.query(old)).length > 0
        },
        { what: 'the memory of a shortened day ago is known' },
      )
      const names = [...(await hurried.alerts()), ...(await prometheus.alerts())]
      assert.deepEqual(
        names.map((each) => each.labels.alertname),
        [],
      )

      // Prosody now uses 200 MiB more memory, and 170 of 200 file descriptors.
      await evalLua(
        prosody,
        `prosody.test_memory, prosody.test_files = ("x"):rep(200 * 2^20), {}
        require "util.pposix".setrlimit("NOFILE", 200)
        for i = 1, 150 do prosody.test_files[i] = io.open("/dev/null") end`,
      )
      // In the shortened time, an hour passes in a minute. A busy machine can miss a burst, so another one follows, which
      // is far larger than all before.
      let registrations = 5
      repeat(t, 60_000, () =>
        evalLua(
          prosody,
          `for i = 1, ${(registrations *= 6)} do
            prosody.hosts["${HOST}"].events.fire_event("user-registered", { username = "u"..i, host = "${HOST}" })
          end`,
        ),
      )
      repeat(t, 200, () =>
        Promise.all(Array.from({ length: 5 }, () => connectOnly(prosody.ports.c2s))),
      )
      await Promise.all([
        hurried.untilFires('ProsodyMemoryGrowth', labels),
        prometheus.untilFires('ProsodyFileDescriptorsRunOut', labels),
        prometheus.untilFires('ProsodyUnauthenticatedFlood', { ...labels, type: 'c2s' }),
        prometheus.untilFires('ProsodyRegistrationBurst', { ...labels, host: HOST }),
      ])
    })

    test(`the alerts about a slow event loop and restarts fire for problems of Prosody ${version}`, async (t) => {
      const prosody = await withProsody(t, { version, hosts: [HOST], modules: ['test_eval'] })
      const exporter = await withExporterFor(t, prosody)
      await untilReady(exporter, 200)
      const prometheus = await startWatching(t, { exporters: { prosody: exporter }, times: 30 })
      // The timer that measures the event loop fires once a second. So blocking Prosody for this long delays the timer
      // by at least 0.6 s.
      const stopBlocking = repeat(t, 2000, () =>
        evalLua(
          prosody,
          'local now = require "util.time".now; local till = now() + 1.6; repeat until now() > till',
        ),
      )
      await prometheus.untilFires('ProsodyEventLoopSlow', { job: 'prosody' })
      await stopBlocking()

      const restart = async (seenBy: typeof prometheus) => {
        const untilUp = (up: number) =>
          until(async () => (await seenBy.query('xmpp_up'))[0]?.value === up, {
            what: `Prometheus has seen xmpp_up ${up}`,
          })
        await prosody.stop()
        await untilUp(0)
        await prosody.restart()
        await untilUp(1)
      }
      const startedAt = performance.now()
      await restart(prometheus)
      const restartMs = performance.now() - startedAt
      // The alert about restarts fires for more than 4 new streams in 15 minutes. The shortened range must be long
      // enough for more than 4 restarts of Prosody on the machine that runs the test.
      const times = Math.min(30, 900_000 / (7 * restartMs))
      const patient = await startWatching(t, { exporters: { prosody: exporter }, times })
      await until(
        async () => {
          await restart(patient)
          const alerts = ['ProsodyRestartsOften', 'ProsodyComponentLinkUnstable']
          const found = await Promise.all(alerts.map(patient.firing))
          return found.every(({ length }) => length > 0)
        },
        { what: 'the alerts about restarts fire' },
      )
    })
  }
})
