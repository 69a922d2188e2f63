// Tests one exporter with ten real Prosody servers, which a real Prometheus discovers through /sd.

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
  // Consecutive servers have different numbers of clients, so the test notices if the exporter mixes up their values.
  clients: 1 + (i % 3),
  version: prosodyVersions[i % prosodyVersions.length]!,
}))
const CONNECTIONS = 'sum by (instance, host) (prosody_mod_c2s__connections)'

test('a real Prometheus discovers ten Prosody servers through /sd and stores the statistics of each server', async (t) => {
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

  /** Returns the result of a query for each server, by the name of the server. */
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
  const allExcept = (index: number) => allNames.filter((name) => name !== allNames[index])
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
      // After a timeout, this assertion shows the difference to the wanted value.
      assert.deepEqual(await read(), wanted)
    })

  await untilSame('all targets are up', scrapedTargets, allNames)
  await untilSame('all servers are up', () => namesWith('xmpp_up == 1'), allNames)
  const connections = async () =>
    (await prometheus.query(CONNECTIONS))
      .map(({ labels, value }) => ({ name: labels.instance, host: labels.host, clients: value }))
      .sort((a, b) => (a.name! < b.name! ? -1 : 1))
  await untilSame(
    'each server has its own number of clients',
    connections,
    SERVERS.map(({ name, host, clients }) => ({ name, host, clients })),
  )

  const connects = await valuesOf('prosody_exporter_xmpp_connects_total')
  assert.deepEqual(Object.keys(connects).sort(), allNames)
  await prosodys[4]!.stop()
  await untilSame('the stopped server is down', () => namesWith('xmpp_up == 0'), ['s4'])
  await untilSame(
    'the stopped server has no series',
    async () => (await connections()).map(({ name }) => name),
    allExcept(4),
  )
  // The target of a server that is down stays healthy in Prometheus, because the exporter still answers the scrape.
  assert.deepEqual(await scrapedTargets(), allNames)

  writeServers(allExcept(7))
  exporter.kill('SIGHUP')
  await untilSame('the removed server is no longer a target', scrapedTargets, allExcept(7))
  const { text } = await exporter.get('/sd')
  const listed = JSON.parse(text) as { labels: { instance: string } }[]
  assert.deepEqual(
    listed.map(({ labels }) => labels.instance),
    allExcept(7),
  )
  assert.equal((await exporter.get('/probe?target=s7')).status, 400)
  await untilSame(
    'the series of the removed server have ended',
    () => namesWith('xmpp_up'),
    allExcept(7),
  )
  // The exporter did not reconnect to the other servers.
  const before = { ...connects }
  delete before['s7']
  assert.deepEqual(await valuesOf('prosody_exporter_xmpp_connects_total'), before)
})
