// Tests one exporter that monitors several servers. Each server is a model of Prosody with mod_adhoc_statistics.

import assert from 'node:assert/strict'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, describe, test, type TestContext } from 'node:test'
import type { Config, ServerConfig } from '../../../src/config/read-config.js'
import type { MonitoredServer } from '../../../src/servers/monitored-server.js'
import { createServerSet } from '../../../src/servers/server-set.js'
import { until } from '../../support/setup/process.js'
import { withExporter } from '../../support/exporter.js'
import { startFakeServer } from '../../support/fake-server.js'
import { logLines, sampleValue } from '../../support/real.js'
import { createRegistryModel } from '../../support/registry-model.js'
import { answerBy } from '../../support/registry-server.js'

const SECRET = 'fish&chips'
const directory = mkdtempSync(join(tmpdir(), 'prosody-exporter-servers-'))
after(() => {
  rmSync(directory, { recursive: true })
})
writeFileSync(join(directory, 'secret'), SECRET, { mode: 0o600 })

let files = 0

/**
 * Starts one model server for each value, named `s0`, `s1` and so on, and an exporter whose configuration file has all
 * these servers.
 */
async function setUp(t: TestContext, values: readonly number[], flags: readonly string[] = []) {
  const file = join(directory, `${files++}.yml`)
  const servers = await Promise.all(
    values.map(async (value) => {
      const model = createRegistryModel()
      model.pageSize = 100
      model.set(0, 'x', value)
      const connection = model.connect(() => 'answered')
      const server = await startFakeServer(t, { secret: SECRET, answer: answerBy(connection) })
      return { model, server }
    }),
  )
  const yamlOf = (i: number, name = `s${i}`) =>
    `  - {name: ${name}, domain: stats${i}.example, service: "${servers[i]!.server.service}", secret_file: secret}`
  const write = (...lines: readonly string[]) => {
    writeFileSync(file, `servers:\n${lines.join('\n')}\n`)
  }
  write(...values.map((_, i) => yamlOf(i)))
  const exporter = await withExporter(t, {
    flags: [`--config.file=${file}`, '--log.format=json', ...flags],
    env: { PROSODY_EXPORTER_COLLECTION_MIN_AGE: '0s' },
  })
  const get = async (path: string) => (await exporter.get(path)).text
  const probe = (name: string) => get(`/probe?target=${name}`)
  const untilUp = (name: string) =>
    until(async () => sampleValue(await probe(name), 'xmpp_up') === 1, { what: `${name} is up` })
  return { servers, exporter, write, yamlOf, get, probe, untilUp }
}

const VALUE = 'test_0_0{label="x"}'

describe('several servers', { concurrency: 2 }, () => {
  test('are probed one at a time, and only by name', async (t) => {
    const { exporter, probe, untilUp, get, servers } = await setUp(t, [10, 11, 12])
    for (const name of ['s0', 's1', 's2']) await untilUp(name)
    for (const i of [0, 1, 2]) {
      const text = await probe(`s${i}`)
      assert.equal(sampleValue(text, VALUE), 10 + i)
      assert.doesNotMatch(text, /^prosody_exporter_(process|build_info|config)/m)
    }
    for (const path of [
      '/probe',
      '/probe?target=',
      '/probe?target=s3',
      '/probe?target=stats0.example',
    ]) {
      const { status, text } = await exporter.get(path)
      assert.equal(status, 400, path)
      assert.match(text, /expected \?target=/)
    }
    await servers[1]!.server.close()
    await until(async () => /^xmpp_up\{server="s1"\} 0$/m.test(await get('/metrics')), {
      what: 's1 is down',
    })
    const text = await get('/metrics')
    assert.equal(sampleValue(text, 'xmpp_up{server="s0"}'), 1)
    assert.equal(sampleValue(text, 'xmpp_up{server="s2"}'), 1)
    assert.match(text, /^prosody_exporter_process_cpu_seconds_total /m)
    assert.match(text, /^prosody_exporter_build_info/m)
    assert.doesNotMatch(text, /^test_|collector/m)
    assert.equal(sampleValue(await probe('s1'), 'xmpp_up'), 0)
    assert.equal((await exporter.get('/-/ready')).status, 200)
    const lost = logLines(exporter).filter(({ message }) => /^Disconnected\./.test(message))
    assert.deepEqual(
      lost.map(({ server }) => server),
      ['s1'],
    )
  })

  test('are not up before their first answer', async (t) => {
    const silent = await startFakeServer(t, { secret: SECRET, answer: () => undefined })
    const { exporter, write, yamlOf, get, untilUp } = await setUp(t, [10, 11])
    for (const name of ['s0', 's1']) await untilUp(name)
    write(
      yamlOf(0),
      `  - {name: silent, domain: a.example, service: "${silent.service}", secret_file: secret}`,
    )
    exporter.kill('SIGHUP')
    const link = await silent.link()
    await until(() => link.received().includes('<iq'), { what: 'a query' })
    assert.match(await get('/metrics'), /^xmpp_up\{server="silent"\} 0$/m)
  })

  test('are listed for the HTTP service discovery of Prometheus', async (t) => {
    const { exporter } = await setUp(t, [1, 2])
    const { headers, text } = await exporter.get('/sd')
    assert.equal(headers['content-type'], 'application/json')
    assert.deepEqual(
      JSON.parse(text),
      ['s0', 's1'].map((name) => ({
        targets: [`127.0.0.1:${exporter.port}`],
        labels: { __metrics_path__: '/probe', __param_target: name, instance: name },
      })),
    )
    assert.equal((await exporter.get('/sd', { Host: 'a"b' })).status, 400)
  })

  test('show the stanzas of a probe with debug=true, without secrets and names of users', async (t) => {
    const { exporter, untilUp, servers } = await setUp(t, [1, 2])
    await untilUp('s0')
    servers[0]!.model.set(0, `someone@a.example and ${SECRET}`, 5)
    servers[0]!.model.set(0, 'long'.repeat(1000), 5)
    const requests = Array.from({ length: 20 }, () => exporter.get('/probe?target=s0&debug=true'))
    const answers = await Promise.all(requests)
    const shown = answers.filter(({ status }) => status === 200)
    // Each request with debug=true starts a collection. Therefore, the exporter limits them to one per second.
    const refused = answers.filter(({ status }) => status === 503)
    assert.ok(shown.length >= 1 && refused.length >= 1)
    assert.equal(shown.length + refused.length, 20)
    const { text, headers } = shown[0]!
    assert.match(String(headers['content-type']), /^text\/plain/)
    assert.match(text, /^# s0: stats0\.example at xmpp:/)
    assert.match(text, /^\d+ ms → <iq .*urn:prosody-exporter:statistics:1/m)
    assert.match(text, /^\d+ ms ← <iq /m)
    assert.match(text, /…@a\.example and …/)
    assert.doesNotMatch(text, /someone|fish/)
    assert.match(text, /^prosody_exporter_collector_success\{collector="registry"\} 1$/m)
    assert.ok(text.length < 20_000)
    assert.equal((await exporter.get('/probe?target=none&debug=true')).status, 400)
  })

  test('are added, removed and changed by a reload, which does not affect the others', async (t) => {
    const flags = ['--web.enable-lifecycle']
    const { exporter, write, yamlOf, probe, untilUp, get } = await setUp(t, [10, 11, 12], flags)
    for (const name of ['s0', 's1', 's2']) await untilUp(name)
    const connects = async (name: string) =>
      sampleValue(await probe(name), 'prosody_exporter_xmpp_connects_total')
    const post = (path: string) => fetch(`${exporter.url}${path}`, { method: 'POST' })

    // The new configuration does not change s0, changes the collectors of s1, and renames s2 to `new`.
    write(yamlOf(0), yamlOf(1).replace('}', ', collectors: {ping: false}}'), yamlOf(2, 'new'))
    assert.equal((await post('/-/reload')).status, 200)
    for (const name of ['s1', 'new']) await untilUp(name)
    assert.equal(sampleValue(await probe('new'), VALUE), 12)
    assert.equal((await exporter.get('/probe?target=s2')).status, 400)
    assert.equal(await connects('s0'), 1)
    const collections = 'prosody_exporter_collections_total'
    assert.ok(sampleValue(await probe('s0'), collections)! > 2, 's0 was not created again')
    assert.doesNotMatch(await probe('s1'), /collector="ping"/)

    write(yamlOf(0), yamlOf(0))
    assert.equal((await post('/-/reload')).status, 500)
    const reloaded = 'prosody_exporter_config_last_reload_successful'
    assert.equal(sampleValue(await get('/metrics'), reloaded), 0)
    assert.equal(sampleValue(await probe('new'), VALUE), 12, 'the previous configuration continues')
    const errors = logLines(exporter).filter(({ level }) => level === 'ERROR')
    assert.equal(errors.length, 1)
    assert.match(
      String(errors[0]!['error']),
      /\.yml:3:\d+: servers\[1\]\.name: expected each name once/,
    )

    write(yamlOf(0), yamlOf(1))
    exporter.kill('SIGHUP')
    await until(async () => sampleValue(await get('/metrics'), reloaded) === 1, { what: 'reload' })
    assert.equal((await exporter.get('/probe?target=new')).status, 400)
    assert.equal(await connects('s0'), 1)

    write(yamlOf(0))
    assert.equal((await post('/-/reload')).status, 200)
    assert.equal(
      sampleValue(await get('/metrics'), VALUE),
      10,
      '/metrics has the statistics of the only server',
    )
    assert.match(await get('/metrics'), /^prosody_exporter_build_info/m)
  })

  test('are reloaded over HTTP only if that is enabled, and only by POST or PUT', async (t) => {
    const { exporter } = await setUp(t, [1])
    const { status } = await fetch(`${exporter.url}/-/reload`, { method: 'POST' })
    assert.equal(status, 403)
    const { status: getStatus, headers } = await exporter.get('/-/reload')
    assert.equal(getStatus, 405)
    assert.equal(headers['allow'], 'POST, PUT, OPTIONS')
  })
})

test('a reload connects to a changed server, although the disk does not store its history', async () => {
  const started: string[] = []
  const stored: string[] = []
  const createServer = (config: ServerConfig) =>
    ({
      config,
      connection: {
        start: () => started.push(config.xmpp.domain),
        stop: () => Promise.resolve(),
      },
      history: {
        flush: () => {
          stored.push(config.xmpp.domain)
          return new Promise<void>(() => undefined)
        },
      },
    }) as unknown as MonitoredServer
  const set = createServerSet(createServer)
  const createConfig = (domain: string) =>
    ({ servers: [{ name: 'a', xmpp: { domain } }] }) as unknown as Config
  await set.apply(createConfig('old.example'))
  // A function that waits for the disk would never end, and the test would fail, because nothing else is left to do.
  await set.apply(createConfig('new.example'))
  assert.deepEqual([started, stored], [['old.example', 'new.example'], ['old.example']])
})
