// Tests XMPP pings to another server: two real Prosody servers that are connected to each other.

import assert from 'node:assert/strict'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import { withExporterFor } from '../support/exporter.js'
import { prosodyVersions, withProsody } from '../support/prosody.js'
import { sampleValue, setServerAddress, untilUp } from '../support/real.js'
import { temporaryDirectory, until } from '../support/setup/process.js'

const STATS = 'stats.one.example'
const FAR = 'far.example'
const UP = `xmpp_s2s_ping_up{remote="${FAR}"}`
const SECONDS = `xmpp_s2s_ping_seconds{remote="${FAR}"}`

for (const version of prosodyVersions) {
  test(`the exporter knows whether another server answers pings (Prosody ${version})`, async (t) => {
    const startServer = (host: string) =>
      withProsody(t, {
        version,
        hosts: [host],
        statsDomains: [`stats.${host}`],
        modules: ['test_dns', 'test_eval'],
        // Without certificates, the servers authenticate each other with dialback (XEP-0220).
        globals: { s2s_secure_auth: 'false', modules_disabled: '{ "tls" }' },
      })
    const near = await startServer('one.example')
    const far = await startServer(FAR)
    const { path, remove } = await temporaryDirectory('prosody-exporter-pings')
    t.after(remove)
    const file = join(path, 'exporter.yml')
    // Another interval makes the exporter ping soon after a reload.
    const write = (minutes: number) =>
      writeFile(file, `outside:\n  remotes: [${FAR}]\n  interval: ${minutes}m\n  timeout: 5s\n`)
    await write(5)
    const exporter = await withExporterFor(t, near, { flags: [`--config.file=${file}`] })
    await untilUp(exporter)
    const readMetrics = async () => (await exporter.get('/metrics')).text
    const untilPinged = (up: number) =>
      until(
        async () => {
          const text = await readMetrics()
          return sampleValue(text, UP) === up && text
        },
        { what: `${UP} is ${up}` },
      )
    const pingAgain = async (minutes: number) => {
      await write(minutes)
      exporter.kill('SIGHUP')
    }

    // Prosody cannot connect to the other server.
    assert.equal(sampleValue(await untilPinged(0), SECONDS), undefined)

    await setServerAddress(near, FAR, far.ports.s2s)
    await setServerAddress(far, STATS, near.ports.s2s)
    await pingAgain(6)
    assert.ok(sampleValue(await untilPinged(1), SECONDS)! > 0)

    // The connection is open, but the other server does not answer.
    far.kill('SIGSTOP')
    await pingAgain(7)
    await untilPinged(0)
    far.kill('SIGCONT')
    await pingAgain(8)
    await untilPinged(1)
  })
}
