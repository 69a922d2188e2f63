// These tests cover HTTP features of the exporter: paths behind a proxy, filters, limits, /config and
// --web.fail-when-down.

import assert from 'node:assert/strict'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, describe, test, type TestContext } from 'node:test'
import type { Element } from '@xmpp/xml'
import { parse } from 'yaml'
import type { Collector } from '../../../src/collectors/collector.js'
import { formatConfig } from '../../../src/config/format-config.js'
import type { Config } from '../../../src/config/read-config.js'
import { createApp } from '../../../src/http/routes.js'
import { listen } from '../../../src/http/listener.js'
import { createExposition } from '../../../src/exposition/exposition.js'
import { family } from '../../../src/metrics/family.js'
import { createScraper } from '../../../src/scrape/scraper.js'
import { until } from '../../support/setup/process.js'
import { configOf, problemOf } from '../../support/config.js'
import { httpGet, withExporter } from '../../support/exporter.js'
import { startFakeServer } from '../../support/fake-server.js'
import { logLines, sampleValue } from '../../support/real.js'
import { createRegistryModel } from '../../support/registry-model.js'
import { answerBy } from '../../support/registry-server.js'

const SECRET = 'fish-and-chips'
const ENV = {
  PROSODY_EXPORTER_XMPP_DOMAIN: 'stats.example',
  PROSODY_EXPORTER_XMPP_SECRET: SECRET,
}
const directory = mkdtempSync(join(tmpdir(), 'prosody-exporter-surface-'))
after(() => {
  rmSync(directory, { recursive: true })
})

/** Responds like an XMPP host that supports service discovery and pings. */
function answerHost({ attrs: { id, from, to }, children: [child] }: Element): string | undefined {
  if (to !== 'one.example' || typeof child !== 'object') return undefined
  const head = `<iq type='result' id='${id}' from='${to}' to='${from}'>`
  if (child.name !== 'query') return `${head}</iq>`
  const identity = "<identity category='server' type='im' name='Prosody'/>"
  const features = "<feature var='urn:xmpp:ping'/>"
  return `${head}<query xmlns='${child.attrs['xmlns']}'>${identity}${features}</query></iq>`
}

const silent = { debug: () => {}, info: () => {}, warn: () => {}, error: () => {} }

/**
 * Starts an exporter with a simulated module, in which `test_0_0{label="x"}` is 5, and waits until it is ready.
 */
async function setUp(
  t: TestContext,
  { flags = [], prefix = '' }: { flags?: readonly string[]; prefix?: string } = {},
) {
  const model = createRegistryModel()
  model.pageSize = 100
  model.set(0, 'x', 5)
  const connection = model.connect(() => 'answered')
  const answer = answerBy(connection)
  const server = await startFakeServer(t, {
    secret: SECRET,
    answer: (element) => answerHost(element) ?? answer(element),
  })
  const exporter = await withExporter(t, {
    flags: [`--xmpp.service=${server.service}`, '--log.format=json', ...flags],
    env: { ...ENV, PROSODY_EXPORTER_COLLECTION_MIN_AGE: '0s' },
    prefix,
  })
  await until(async () => (await exporter.get(`${prefix}/-/ready`)).status === 200, {
    what: 'ready',
  })
  return { exporter, server, model }
}

describe('behind a reverse proxy', { concurrency: 2 }, () => {
  const web = (...args: string[]) => {
    const { routePrefix, external } = configOf(args, ENV).web
    return [routePrefix, external.origin, external.path]
  }

  test('the route prefix is by default the path of the external URL', () => {
    assert.deepEqual(web(), ['', undefined, ''])
    assert.deepEqual(web('--web.route-prefix=a/b/'), ['/a/b', undefined, '/a/b'])
    const url = '--web.external-url=https://Example.org:443/prosody/'
    const origin = 'https://example.org'
    assert.deepEqual(web(url), ['/prosody', origin, '/prosody'])
    assert.deepEqual(web(url, '--web.route-prefix=/'), ['', origin, '/prosody'])
    assert.deepEqual(web('--web.external-url=http://[::1]:1'), ['', 'http://[::1]:1', ''])
  })

  test('an invalid external URL or route prefix is rejected, and the message shows no password', () => {
    const problem = (...args: string[]) => problemOf(() => configOf(args, ENV))
    for (const url of ['example.org', 'ftp://a', 'http://', 'http://a/?b', 'http://a/#b', '/a']) {
      assert.match(
        problem(`--web.external-url=${url}`),
        /^--web\.external-url: expected http\[s\]:\/\/host\[:port\]\[\/path\], got "/,
      )
    }
    const secret = problem('--web.external-url=http://user:fish@a')
    assert.match(secret, /got a URL with a user in it$/)
    assert.doesNotMatch(secret, /fish/)
    for (const prefix of ['/a//b', '/../a', '/a b', '/:a', '/a*', '/a?b', '/%41']) {
      assert.match(
        problem(`--web.route-prefix=${prefix}`),
        /^--web\.route-prefix: expected a path with only /,
      )
    }
    assert.match(problem('--web.max-requests=-1'), /^--web\.max-requests: expected a whole number/)
  })

  test('every path is below the route prefix, and the root redirects to the prefix', async (t) => {
    const { exporter } = await setUp(t, {
      flags: ['--web.route-prefix=/prosody'],
      prefix: '/prosody',
    })
    for (const path of ['/metrics', '/-/healthy', '/-/ready', '/config', '/', '/sd']) {
      assert.equal((await exporter.get(`/prosody${path}`)).status, 200, path)
      const status = path === '/' ? 302 : 404
      assert.equal((await exporter.get(path)).status, status, path)
    }
    for (const path of ['/', '/prosody']) {
      const { headers } = await exporter.get(path)
      assert.equal(headers.location, '/prosody/')
    }
    for (const path of ['/prosodyx/metrics', '/prosodymetrics', '/prosody/prosody/metrics']) {
      assert.equal((await exporter.get(path)).status, 404, path)
    }
    const { status, headers } = await fetch(`${exporter.url}/prosody/metrics`, { method: 'POST' })
    assert.deepEqual([status, headers.get('allow')], [405, 'GET, HEAD, OPTIONS'])
  })

  test('/sd returns the host of the external URL, or else the host of the request', async (t) => {
    const discovered = async (flags: readonly string[], prefix: string) => {
      const { exporter } = await setUp(t, { flags, prefix })
      const { text } = await exporter.get(`${prefix}/sd`, { Host: 'asked:1' })
      const [{ targets, labels }] = JSON.parse(text) as [
        { targets: string[]; labels: Record<string, string> },
      ]
      return [labels.__scheme__, targets[0], labels.__metrics_path__]
    }
    assert.deepEqual(await discovered(['--web.route-prefix=/a'], '/a'), [
      undefined,
      'asked:1',
      '/a/probe',
    ])
    const url = '--web.external-url=https://example.org/b'
    assert.deepEqual(await discovered([url, '--web.route-prefix=/'], ''), [
      'https',
      'example.org',
      '/b/probe',
    ])
  })
})

describe('collect[] and exclude[]', { concurrency: 2 }, () => {
  const collectors = (text: string) =>
    Array.from(
      text.matchAll(/^prosody_exporter_collector_success\{collector="(\w+)"\}/gm),
      ([, name]) => name,
    )

  test('collect[] and exclude[] filter the result of one collection, and do not change the response to other requests', async (t) => {
    const { exporter } = await setUp(t, { flags: ['--xmpp.host=one.example'] })
    const get = async (query: string) => (await exporter.get(`/metrics${query}`)).text
    const whole = collectors(await get(''))
    assert.deepEqual(whole, ['components', 'ping', 'registry'])

    const one = await get('?collect[]=registry')
    assert.deepEqual(collectors(one), ['registry'])
    assert.equal(sampleValue(one, 'test_0_0{label="x"}'), 5)
    assert.equal(sampleValue(one, 'xmpp_up'), 1)
    assert.match(one, /^prosody_exporter_build_info/m)
    assert.match(one, /^prosody_exporter_collector_duration_seconds\{collector="registry"\}/m)

    const two = await get('?collect[]=ping&collect[]=components&collect[]=users')
    assert.deepEqual(collectors(two), ['components', 'ping'], 'the users collector finds no host')
    assert.doesNotMatch(two, /^test_0_0/m)

    const rest = await get('?exclude[]=registry')
    assert.deepEqual(
      collectors(rest),
      whole.filter((name) => name !== 'registry'),
    )
    assert.doesNotMatch(rest, /^test_0_0/m)
    assert.deepEqual(collectors(await get('')), whole)
    assert.equal(sampleValue(await get(''), 'test_0_0{label="x"}'), 5)

    // A request can have both collect[] and name[].
    const named = await get('?collect[]=registry&name[]=xmpp_up&name[]=test_0_0')
    assert.deepEqual(named.match(/^[a-z]\S*/gm), ['test_0_0{label="x"}', 'xmpp_up'])
  })

  test('an unknown collector in collect[] is responded to with 400 and a list of the valid ones', async (t) => {
    const { exporter } = await setUp(t, { flags: ['--no-collector.modules'] })
    const get = async (query: string) => {
      const { status, text } = await exporter.get(`/metrics?${query}`)
      return `${status} ${text}`
    }
    assert.match(
      await get('collect[]=pong'),
      /^400 Wrong collect\[\]: expected ping, .*, got "pong"\.\n$/,
    )
    assert.match(
      await get('exclude[]=modules'),
      /^400 Wrong exclude\[\]: expected .* got "modules"/,
    )
    assert.doesNotMatch(await get('exclude[]=modules'), /expected .*modules.*, got/)
    assert.match(await get('collect[]='), /^400 /)
    assert.match(
      await get('collect[]=ping&exclude[]=users'),
      /^400 Wrong parameters: expected collect\[\] or exclude\[\], got both/,
    )
    assert.match(await get(`collect[]=${'x'.repeat(5000)}`), /^400 .{0,400}\n$/)
  })

  test('concurrent requests with different filters share one collection', async () => {
    let asked = 0
    let release = () => {}
    const held = new Promise<void>((resolve) => {
      release = resolve
    })
    const collector = (name: string): Collector => ({
      name,
      collect: async () => {
        asked++
        await held
        const families = [family('gauge', `told_by_${name}`, '', [{ value: 1 }])]
        return { families, invalid: new Map() }
      },
    })
    const scraper = createScraper({
      log: silent,
      created: false,
      collectors: [collector('a'), collector('b')],
      link: () => ({ connected: true, connects: 1 }),
      exporterFamilies: () => [],
      minAgeMs: 0,
      timeoutMs: 10_000,
      maxSeries: Infinity,
    })
    const app = createApp({
      telemetryPath: '/metrics',
      maxRequests: 0,
      timeoutOffsetMs: 500,
      current: () => scraper.findCached(),
      source: () => scraper,
      filter: ({ filterByCollectors, families }, { collectors }) =>
        createExposition(collectors ? filterByCollectors(collectors) : families, {
          created: false,
        }),
      isReady: () => true,
      log: silent,
    })
    const queries = ['', '?collect[]=a', '?collect[]=b', '?exclude[]=b']
    const answers = Array.from({ length: 20 }, async (_, i) =>
      (await app.request(`/metrics${queries[i % 4]!}`)).text(),
    )
    release()
    const told = (await Promise.all(answers)).map((text) => text.match(/^told_by_\w/gm)?.join())
    assert.deepEqual(
      [...new Set(told.slice(0, 4))],
      ['told_by_a,told_by_b', 'told_by_a', 'told_by_b'],
    )
    told.forEach((names, i) => {
      assert.equal(names, told[i % 4])
    })
    assert.equal(asked, 2)
  })
})

describe('--web.max-requests', () => {
  function createHeld(maxRequests: number) {
    const releases: (() => void)[] = []
    const none = {
      bytes: () => Promise.resolve(new Uint8Array()),
      gzip: () => Promise.resolve(new Uint8Array()),
    }
    const held = () => ({
      collectors: [],
      scrape: () =>
        new Promise<{ exposition: typeof none }>((resolve) => {
          releases.push(() => {
            resolve({ exposition: none })
          })
        }),
    })
    const [first, second] = [held(), held()]
    const current = { ready: false }
    const app = createApp({
      telemetryPath: '/metrics',
      maxRequests,
      timeoutOffsetMs: 500,
      current: () => (current.ready ? { exposition: none } : undefined),
      source: () => first,
      filter: () => none,
      isReady: () => true,
      addRoutes: (hono, serve) => {
        hono.get('/probe', (c) => serve(c, second))
      },
      log: silent,
    })
    const status = async (path = '/metrics') => (await app.request(path)).status
    return { app, status, releases, current }
  }

  test('--web.max-requests applies to each client address separately', async (t) => {
    const { app, releases } = createHeld(1)
    const address = { host: '127.0.0.1', port: 0, optional: false }
    const listener = await listen(app, [address], silent)
    t.after(() => listener.close(0))
    const ask = (localAddress: string) => httpGet(`${listener.urls[0]!}/metrics`, {}, localAddress)
    const arrived = () => until(() => releases.length === 1, { what: 'a scrape waits' })
    const first = ask('127.0.0.2')
    await arrived()
    assert.equal((await ask('127.0.0.2')).status, 503)
    const [letGo] = releases.splice(0)
    const scraper = ask('127.0.0.3')
    await arrived()
    letGo!()
    releases[0]!()
    assert.deepEqual([(await first).status, (await scraper).status], [200, 200])
  })

  test('above --web.max-requests, only requests to the same server get 503, until earlier requests end', async () => {
    const { app, status, releases } = createHeld(2)
    const waiting = [status(), status()]
    const refused = await app.request('/metrics')
    assert.equal(refused.status, 503)
    assert.equal(
      await refused.text(),
      'Limit of concurrent requests reached: --web.max-requests allows 2 from each address. Try again later.\n',
    )
    assert.equal((await app.request('/-/healthy')).status, 200)
    const other = status('/probe')
    for (const release of releases.splice(0)) release()
    assert.deepEqual(await Promise.all([...waiting, other]), [200, 200, 200])
    const again = status()
    releases[0]!()
    assert.equal(await again, 200)
  })

  test('--web.max-requests 0 means no limit', async () => {
    const { status, releases } = createHeld(0)
    const waiting = Array.from({ length: 100 }, () => status())
    for (const release of releases) release()
    assert.ok((await Promise.all(waiting)).every((code) => code === 200))
  })

  test('--web.max-requests does not apply to requests for a current snapshot', async () => {
    const { app, status, releases, current } = createHeld(1)
    const first = app.request('/metrics')
    releases.shift()!()
    assert.equal((await first).status, 200)
    current.ready = true
    const waiting = status('/metrics?name[]=a')
    assert.equal(await status('/metrics?name[]=b'), 503)
    assert.equal(await status(), 200)
    releases.shift()!()
    assert.equal(await waiting, 200)
  })
})

test('--web.disable-exporter-metrics omits the process metrics, and nothing else', async (t) => {
  const names = async (flags: readonly string[]) => {
    const { exporter } = await setUp(t, { flags })
    const { text } = await exporter.get('/metrics')
    return Array.from(text.matchAll(/^# TYPE (\S+)/gm), ([, name = '']) => name)
  }
  const [all, fewer] = await Promise.all([names([]), names(['--web.disable-exporter-metrics'])])
  assert.ok(all.some((name) => name.startsWith('prosody_exporter_process_')))
  assert.deepEqual(
    fewer,
    all.filter((name) => !name.startsWith('prosody_exporter_process_')),
  )
  for (const name of [
    'xmpp_up',
    'prosody_exporter_collector_success',
    'prosody_exporter_build_info',
  ])
    assert.ok(fewer.includes(name), name)
})

describe('/config', () => {
  test('/config returns the running configuration as YAML with a masked secret', async (t) => {
    const { exporter, server } = await setUp(t, {
      flags: [
        '--no-collector.ping',
        '--web.external-url=https://example.org/p',
        '--web.route-prefix=/',
      ],
    })
    const { status, headers, text } = await exporter.get('/config')
    assert.equal(status, 200)
    assert.equal(headers['content-type'], 'text/yaml; charset=utf-8')
    assert.equal(headers['cache-control'], 'no-store')
    assert.doesNotMatch(text, new RegExp(SECRET))
    const shown = parse(text) as Record<string, Record<string, unknown>> & {
      servers: Record<string, unknown>[]
    }
    const { collectors, ...one } = shown.servers[0]!
    assert.deepEqual(one, {
      name: 'stats.example',
      service: server.service,
      domain: 'stats.example',
      secret: '<secret>',
      hosts: [],
    })
    assert.equal((collectors as Record<string, boolean>).ping, false)
    assert.deepEqual(shown.collection, { min_age: '0s', timeout: '10s', serve_stale_for: '0s' })
    assert.deepEqual(shown.web, {
      listen_address: [`127.0.0.1:${exporter.port}`],
      telemetry_path: '/metrics',
      external_url: 'https://example.org/p',
      route_prefix: '/',
      max_requests: 40,
      disable_exporter_metrics: false,
      fail_when_down: false,
      enable_lifecycle: false,
    })
    assert.deepEqual(shown.log, { level: 'info', format: 'json' })
  })

  test('the YAML of /config, read as a configuration file, gives the same configuration', () => {
    const secret = join(directory, 'secret')
    writeFileSync(secret, SECRET, { mode: 0o600 })
    const first = join(directory, 'first.yml')
    writeFileSync(
      first,
      `servers: [{name: a, domain: a.example, secret_file: secret, hosts: [b.example]}]
collection: {min_age: 1500ms}
exposition: {names: [openmetrics, single_underscore], created: true}
registry: {drop: [{family: '(?i)a|b/c', labels: {d: 'e.*'}}, {family: f}]}
limits: {series: 7, label_value_length: 8}
`,
    )
    const read = (path: string) => configOf([`--config.file=${path}`], {})
    const shown = parse(formatConfig(read(first))) as Record<string, unknown> & {
      servers: Record<string, unknown>[]
    }
    const { servers, collection, exposition, registry, limits } = shown
    const { secret: masked, ...server } = servers[0]!
    assert.equal(masked, '<secret>')
    const again = join(directory, 'again.yml')
    const sections = { servers: [{ ...server, secret_file: secret }], collection, exposition }
    writeFileSync(again, JSON.stringify({ ...sections, registry, limits }))
    const plain = (config: Config) => ({
      ...config,
      registry: config.registry.drop.map(({ family, labels }) => [
        new RegExp(family.source, family.flags),
        [...labels],
      ]),
    })
    assert.deepEqual(plain(read(again)), plain(read(first)))
  })

  test('/config masks the token of alerts, and the names of people and rooms', () => {
    writeFileSync(join(directory, 'token'), 'top-token', { mode: 0o600 })
    const file = join(directory, 'alerts.yml')
    const alerts = 'to: [ann@a.example], rooms: [plans@rooms.a.example], token_file: token'
    writeFileSync(file, `alerts: {${alerts}}\nchat: {allow: [ann@a.example]}\n`)
    const shown = formatConfig(
      configOf([`--config.file=${file}`, '--xmpp.domain=stats.a.example'], {
        PROSODY_EXPORTER_XMPP_SECRET: SECRET,
      }),
    )
    assert.doesNotMatch(shown, /ann|plans|top-token/)
    assert.match(shown, /…@rooms\.a\.example/)
  })

  test('/config returns the new configuration after a reload, and the old one after a failed reload', async (t) => {
    const file = join(directory, 'reloaded.yml')
    writeFileSync(file, 'limits: {series: 10}\n')
    const { exporter } = await setUp(t, {
      flags: [`--config.file=${file}`, '--web.enable-lifecycle'],
    })
    const series = async () => {
      const { limits } = parse((await exporter.get('/config')).text) as {
        limits: { series: number }
      }
      return limits.series
    }
    const reload = () => fetch(`${exporter.url}/-/reload`, { method: 'POST' })
    assert.equal(await series(), 10)
    writeFileSync(file, 'limits: {series: 20}\n')
    assert.equal((await reload()).status, 200)
    assert.equal(await series(), 20)
    writeFileSync(file, 'limits: {series: -1}\n')
    assert.equal((await reload()).status, 500)
    assert.equal(await series(), 20)
  })
})

test('a server that stops is logged once, however often it is scraped and the exporter reconnects', async (t) => {
  const { exporter, server } = await setUp(t)
  const before = logLines(exporter).length
  const told = () =>
    logLines(exporter)
      .slice(before)
      .map(({ level, message }) => `${level} ${message.replace(/[.(].*/, '').trim()}`)
  await server.close()
  // One log line is about the lost stream, and one is about the failed reconnection.
  await until(() => told().length > 1, { what: 'it was dialled' })
  for (let i = 0; i < 10; i++) {
    assert.equal(sampleValue((await exporter.get('/metrics')).text, 'xmpp_up'), 0)
  }
  assert.deepEqual(told(), ['WARN Disconnected', 'ERROR Prosody stopped'])
})

describe('--web.fail-when-down', () => {
  const FLAGS = ['--web.fail-when-down', '--web.enable-lifecycle']

  test('with --web.fail-when-down, the status is 503 with the same body while the server is down, filtered or not', async (t) => {
    const { exporter, server } = await setUp(t, { flags: FLAGS })
    const paths = ['/metrics', '/metrics?collect[]=ping', '/probe?target=stats.example']
    for (const path of paths) assert.equal((await exporter.get(path)).status, 200, path)
    await server.close()
    await until(async () => (await exporter.get('/metrics')).status === 503, { what: 'down' })
    for (const path of paths) {
      const { status, text } = await exporter.get(path)
      assert.equal(status, 503, path)
      assert.equal(sampleValue(text, 'xmpp_up'), 0)
      const head = await fetch(`${exporter.url}${path}`, { method: 'HEAD' })
      assert.equal(head.status, 503, path)
    }
    assert.equal((await exporter.get('/-/healthy')).status, 200)
  })

  test('with --web.fail-when-down and several servers, /metrics has status 200', async (t) => {
    const secret = join(directory, 'several.secret')
    writeFileSync(secret, SECRET, { mode: 0o600 })
    const file = join(directory, 'several.yml')
    const server = (name: string) =>
      `{name: ${name}, domain: ${name}.example, service: "xmpp://127.0.0.1:1", secret_file: ${secret}}`
    writeFileSync(file, `servers: [${server('a')}, ${server('b')}]\nweb: {fail_when_down: true}\n`)
    const exporter = await withExporter(t, { flags: [`--config.file=${file}`] })
    const { status, text } = await exporter.get('/metrics')
    assert.equal(status, 200)
    assert.equal(sampleValue(text, 'xmpp_up{server="a"}'), 0)
    assert.equal((await exporter.get('/probe?target=a')).status, 503)
  })
})
