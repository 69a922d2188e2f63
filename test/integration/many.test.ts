// Ten real Prosodys read by one exporter, which a real Prometheus finds through /sd.

import assert from 'node:assert/strict'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { temporaryDirectory, until } from '../support/setup/process.js'
import { withExporter } from '../support/exporter.js'
import { withPrometheus } from '../support/prometheus.js'
import { prosodyVersions, SECRET, withProsody } from '../support/prosody.js'
import { login } from '../support/xmpp-client.js'

const SERVERS = Array.from({ length: 10 }, (_, i) => ({
  name: `s${i}`,
  host: `host${i}.example`,
  // Not the same for each, so that one server's figures can't pass for another's.
  clients: 1 + (i % 3),
  version: prosodyVersions[i % prosodyVersions.length]!,
}))
const CONNECTIONS = 'sum by (instance, host) (prosody_mod_c2s__connections)'

test('a real Prometheus finds ten real Prosodys through /sd and reads each', async (t) => {
  const { path: directory, remove } = await temporaryDirectory('prosody-exporter-many')
  t.after(remove)
  writeFileSync(join(directory, 'secret'), SECRET, { mode: 0o600 })

  const prosodys = await Promise.all(
    SERVERS.map(async ({ host, clients, version }) => {
      const jid = `user@${host}`
      const prosody = await withProsody(t, {
        version,
        hosts: [host],
        statsDomains: [`stats.${host}`],
        users: { [jid]: 'pw' },
      })
      for (let i = 0; i < clients; i++) {
        const user = await login({ port: prosody.ports.c2s, jid, password: 'pw' })
        t.after(() => user.close())
      }
      return prosody
    }),
  )
  const file = join(directory, 'servers.yml')
  const writeServers = (names: readonly string[]) => {
    const lines = SERVERS.map(
      ({ name, host }, i) =>
        `  - {name: ${name}, domain: stats.${host}, service: "${prosodys[i]!.service}", secret_file: secret}\n`,
    ).filter((_, i) => names.includes(SERVERS[i]!.name))
    writeFileSync(file, `servers:\n${lines.join('')}`)
  }
  const allNames = SERVERS.map(({ name }) => name)
  writeServers(allNames)
  const exporter = await withExporter(t, { flags: [`--config.file=${file}`] })
  const prometheus = await withPrometheus(t, {
    major: '3',
    jobs: [{ name: 'prosody', target: `${exporter.url}/sd`, discovery: true }],
    intervalMs: 1000,
  })

  /** Name of each server → what Prometheus has of it. */
  const valuesOf = async (promql: string) =>
    Object.fromEntries(
      (await prometheus.query(promql)).map(({ labels, value }) => [labels.instance ?? '', value]),
    )
  const namesWith = async (promql: string) => Object.keys(await valuesOf(promql)).sort()
  const scrapedTargets = async () => {
    const targets = await prometheus.targets('prosody')
    return targets
      .filter(({ health }) => health === 'up')
      .map(({ labels }) => labels.instance)
      .sort()
  }
  const others = (left: number) => allNames.filter((name) => name !== allNames[left])
  const untilSame = (what: string, read: () => Promise<unknown>, wanted: unknown) =>
    until(
      async () => {
        try {
          assert.deepEqual(await read(), wanted)
          return true
        } catch {
          return false
        }
      },
      { what, everyMs: 250 },
    ).catch(async () => {
      // What it is in the end, rather than that it took too long.
      assert.deepEqual(await read(), wanted)
    })

  await untilSame('all targets are up', scrapedTargets, allNames)
  await untilSame('all servers are up', () => namesWith('xmpp_up == 1'), allNames)
  const figures = async () =>
    (await prometheus.query(CONNECTIONS))
      .map(({ labels, value }) => ({ name: labels.instance, host: labels.host, clients: value }))
      .sort((a, b) => (a.name! < b.name! ? -1 : 1))
  await untilSame(
    'each has its own figures',
    figures,
    SERVERS.map(({ name, host, clients }) => ({ name, host, clients })),
  )

  const connects = await valuesOf('prosody_exporter_xmpp_connects_total')
  assert.deepEqual(Object.keys(connects).sort(), allNames)
  await prosodys[4]!.stop()
  await untilSame('the one that was stopped is down', () => namesWith('xmpp_up == 0'), ['s4'])
  await untilSame(
    'nothing is told of it any longer',
    async () => (await figures()).map(({ name }) => name),
    others(4),
  )
  // To Prometheus the target is well: it is the server behind it that is not.
  assert.deepEqual(await scrapedTargets(), allNames)

  writeServers(others(7))
  exporter.kill('SIGHUP')
  await untilSame('it is no target any more', scrapedTargets, others(7))
  const { text } = await exporter.get('/sd')
  const listed = JSON.parse(text) as { labels: { instance: string } }[]
  assert.deepEqual(
    listed.map(({ labels }) => labels.instance),
    others(7),
  )
  assert.equal((await exporter.get('/probe?target=s7')).status, 400)
  await untilSame('its series have ended', () => namesWith('xmpp_up'), others(7))
  // The streams of all others are the ones they were.
  const before = { ...connects }
  delete before['s7']
  assert.deepEqual(await valuesOf('prosody_exporter_xmpp_connects_total'), before)
})
