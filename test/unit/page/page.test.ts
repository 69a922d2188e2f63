import assert from 'node:assert/strict'
import { once } from 'node:events'
import { describe, test } from 'node:test'
import { setImmediate as turn } from 'node:timers/promises'
import { gunzipSync } from 'node:zlib'
import { TRANSPORTS } from '../../support/transports.js'
import { Hono, type Context } from 'hono'
import { CollectorError } from '../../../src/collectors/failure.js'
import { DecodeError, LinkError } from '../../../src/errors.js'
import { createHistory, pollServers, type History } from '../../../src/history/history.js'
import { listen } from '../../../src/http/listener.js'
import { createStatusPage, type PageServer } from '../../../src/page/page.js'
import { createViewers } from '../../../src/page/viewers.js'
import { formatDuration, formatNumber } from '../../../src/page/words.js'
import { family, type Family } from '../../../src/metrics/family.js'
import { summarize, type ServerSummary } from '../../../src/history/server-summary.js'
import type { Collection } from '../../../src/scrape/scraper.js'
import { makeFamily } from '../../support/families.js'

const ignore = () => undefined
const LOG = { debug: ignore, info: ignore, warn: ignore, error: ignore }

const START = Date.UTC(2026, 0, 1)

type Labels = Readonly<Record<string, string>>
const gauge = (name: string, ...rows: readonly (readonly [Labels, number])[]) =>
  family(
    'gauge',
    name,
    '',
    rows.map(([labels, value]) => ({ labels, value })),
  )
const counter = (name: string, ...rows: readonly (readonly [Labels, number])[]): Family => ({
  ...gauge(name, ...rows),
  type: 'counter',
})

const host = 'a.example'
const c2s = (type: string, ip_family: string) => ({ host, type, ip_family })
const FAMILIES = [
  gauge('xmpp_info', [{ host, name: 'Prosody', version: '13.0.1' }, 1]),
  gauge('xmpp_start_time_seconds', [{ host }, START / 1000 - 93_600]),
  gauge('xmpp_online_users', [{ host }, 3], [{ host: 'b.example' }, 1]),
  gauge('xmpp_client_connections', [{ host }, 4], [{ host: 'b.example' }, 2]),
  gauge(
    'prosody_mod_c2s__connections',
    [c2s('c2s', 'ipv4'), 4],
    [c2s('c2s', 'ipv6'), 2],
    [c2s('c2s_unauthed', 'ipv4'), 1],
  ),
  gauge('prosody_mod_s2s__connections_inbound', [c2s('s2sin', 'ipv6'), 5]),
  gauge('xmpp_s2s_connections', [{ host, direction: 'in', security: 'verified' }, 5]),
  counter('prosody_mod_c2s__encrypted', [{ protocol: 'TLSv1.3', cipher: 'x' }, 9]),
]

const collection = (changes: Partial<Collection> = {}): Collection => ({
  up: true,
  families: FAMILIES,
  results: [],
  ...changes,
})

const failing = (error: unknown) => ({
  up: false,
  families: [],
  results: [{ name: 'registry', error, durationSeconds: 0.1 }],
})

describe('a reading', () => {
  test('tells who is connected by host, security and IP family', () => {
    const reading = summarize(collection(), START)
    assert.deepEqual(reading.software, ['Prosody 13.0.1'])
    assert.equal(reading.startedAtMs, START - 93_600_000)
    assert.deepEqual(reading.hosts, [
      { host, users: 3, clients: 4, serversIn: 5 },
      { host: 'b.example', users: 1, clients: 2 },
    ])
    assert.deepEqual(reading.shares, [
      { title: 'Clients by IP family', parts: parts({ IPv4: 5, IPv6: 2 }) },
      { title: 'Clients by state', parts: parts({ 'logged in': 6, 'not logged in': 1 }) },
      { title: 'TLS of clients since start', parts: parts({ 'TLSv1.3': 9 }) },
      { title: 'Servers by security', parts: parts({ 'certificate verified': 5 }) },
      { title: 'Servers by IP family', parts: parts({ IPv6: 5 }) },
    ])
    assert.deepEqual(reading.figures, { users: 4, clients: 6, serversIn: 5, serversOut: 0 })
  })

  const parts = (counts: Readonly<Record<string, number>>) =>
    Object.entries(counts).map(([name, count]) => ({ name, count }))

  test('knows the names with one underscore', () => {
    const families = [gauge('prosody_mod_c2s_connections', [c2s('c2s', 'ipv4'), 7])]
    assert.equal(summarize(collection({ families }), START).figures.clients, 7)
  })

  test('takes labels as they are, whatever is in them', () => {
    const name = 'a"b\\c\n,version="x'
    const families = [gauge('xmpp_info', [{ host, name, version: '"' }, 1])]
    assert.deepEqual(summarize(collection({ families }), START).software, [`${name} "`])
  })

  test('of thousands of hosts has the largest, and the numbers of all', () => {
    const rows = Array.from({ length: 3000 }, (_, i) => [{ host: `h${i}` }, i] as const)
    const families = [gauge('xmpp_client_connections', ...rows)]
    const { hosts, hostsLeftOut, figures } = summarize(collection({ families }), START)
    assert.equal(hosts.length, 50)
    assert.deepEqual(hosts[0], { host: 'h2999', clients: 2999 })
    assert.equal(hostsLeftOut, 2950)
    assert.equal(figures.clients, (3000 * 2999) / 2)
  })

  test('of any number of series is made, and is short', () => {
    const samples = Array.from({ length: 200_000 }, (_, i) => {
      const host = String(i)
      return { labels: { host, name: host, version: '1', ip_family: host }, value: i + 1 }
    })
    const families = [
      'xmpp_ping_seconds',
      'xmpp_start_time_seconds',
      'xmpp_info',
      'prosody_mod_c2s__connections',
    ].map((name) => family('gauge', name, '', samples))
    const reading = summarize(collection({ families }), START)
    assert.equal(reading.figures.pingSeconds, 200_000)
    assert.equal(reading.startedAtMs, 1000)
    assert.equal(reading.software.length, 20)
    const [{ parts } = { parts: [] }] = reading.shares
    assert.equal(parts.length, 21)
    assert.equal(parts.at(-1)!.name, 'others')
    assert.equal(
      parts.reduce((sum, { count }) => sum + count, 0),
      (200_000 * 200_001) / 2,
    )
  })

  test('of a reason without end has its beginning', () => {
    // A regular expression that backtracks would take hours.
    const { problem } = summarize(failing(new Error(`no ${'a'.repeat(300_000)}`)), START)
    assert.match(problem!, /^no a{1000}/)
    assert.ok(problem!.length <= 2000)
  })

  test('gives reasons without what is of a person', () => {
    const cases: [unknown, string][] = [
      [new LinkError('no stream to xmpp://127.0.0.1:5347'), 'no stream to xmpp://127.0.0.1:5347'],
      [new Error('juliet@a.example/balcony is gone'), '…@a.example is gone'],
      [new Error('from 192.0.2.7 and 2001:db8::7'), 'from … and …'],
      [new CollectorError('refused', 'no, den@rooms.a.example'), 'no, …@rooms.a.example'],
      [new DecodeError('users', 'a number', 'Juliet'), 'users: expected a number; see the log'],
      ['odd', 'odd'],
    ]
    for (const [error, reason] of cases) {
      const reading = summarize(failing(error), START)
      assert.equal(reading.problem, reason)
      assert.equal(reading.sources[0]!.reason, reason)
    }
  })
})

describe('the history', () => {
  /** A history whose clock is set by hand, and what adds a reading of these families. */
  function setUp(intervalMs = 15_000, maxPoints?: number) {
    let nowMs = 0
    const history = createHistory({
      intervalMs,
      now: () => nowMs,
      ...(maxPoints !== undefined && { maxPoints }),
    })
    const addAt = (ms: number, families: readonly Family[] = FAMILIES, up = true) => {
      nowMs = ms
      if (history.takes(up)) history.add(summarize(collection({ families, up }), START + ms))
    }
    return { history, addAt, at: (ms: number) => (nowMs = ms) }
  }

  const logins = (count: number) => [counter('xmpp_logins', [{ host }, count])]

  test('has rates of counters, and none across a reset or an outage', () => {
    const { history, addAt } = setUp()
    addAt(0, logins(100))
    addAt(15_000, logins(110))
    addAt(30_000, logins(3))
    addAt(45_000, logins(3))
    addAt(60_000, [], false)
    addAt(75_000, logins(9))
    addAt(90_000, logins(10))
    assert.deepEqual(
      history.points().map(({ logins: rate }) => rate),
      [undefined, 40, undefined, 0, undefined, undefined, 4],
    )
  })

  test('has the mean lag of the event loop since the reading before', () => {
    const { history, addAt } = setUp()
    const lag = (sum: number, count: number) => [
      makeFamily({ name: 'xmpp_loop_lag_seconds', type: 'histogram', bounds: [1, Infinity] }, [
        { values: [count, count, sum, count] },
      ]),
    ]
    addAt(0, lag(1, 100))
    addAt(15_000, lag(1.5, 110))
    addAt(30_000, lag(1.5, 110))
    assert.deepEqual(
      history.points().map(({ lagMs }) => lagMs),
      [undefined, 50, undefined],
    )
  })

  test('keeps the last points, in as much memory as before', () => {
    const { history, addAt } = setUp(15_000, 4)
    for (let i = 0; i < 10; i++) addAt(i * 15_000)
    assert.equal(history.count(), 10)
    const times = (from?: number) => history.points(from).map(({ atMs }) => (atMs - START) / 15_000)
    assert.deepEqual(times(), [6, 7, 8, 9])
    assert.deepEqual(times(8), [8, 9])
    assert.deepEqual(times(10), [])
  })

  test('makes no point of collections close together, but of one that tells of a change', () => {
    const { history, addAt } = setUp()
    addAt(0)
    addAt(7000)
    addAt(8000)
    addAt(8100, [], false)
    addAt(8200)
    assert.deepEqual(
      history.points().map(({ atMs }) => atMs - START),
      [0, 8000, 8100, 8200],
    )
    assert.equal(history.latest()!.up, true)
  })

  test('is due when nobody collected for an interval, and never with an interval of 0', () => {
    const { history, addAt, at } = setUp()
    assert.equal(history.isDue(), true)
    addAt(0)
    for (const [ms, isDue] of [
      [15_000, false],
      [16_600, true],
    ] as const) {
      at(ms)
      assert.equal(history.isDue(), isDue)
    }
    assert.equal(setUp(0).history.isDue(), false)
  })

  test('of many servers is collected a few at a time, each once, until it is ended', async (t) => {
    t.mock.timers.enable({ apis: ['setInterval'] })
    const open = new Set<() => void>()
    let begun = 0
    const servers = Array.from({ length: 20 }, () => ({
      history: createHistory({ intervalMs: 10_000 }),
      collect: () => {
        begun++
        return new Promise<void>((resolve) => open.add(resolve))
      },
    }))
    const end = pollServers(() => servers)
    t.mock.timers.tick(1000)
    assert.equal(begun, 2)
    t.mock.timers.tick(20_000)
    assert.equal(begun, 20)
    for (const resolve of open) resolve()
    await turn()
    end()
    t.mock.timers.tick(20_000)
    assert.equal(begun, 20)
  })
})

describe('the page', () => {
  const historyOf = (...readings: readonly ServerSummary[]): History => {
    let nowMs = 0
    const history = createHistory({ intervalMs: 15_000, now: () => (nowMs += 15_000) })
    for (const reading of readings) history.add(reading)
    return history
  }
  const works = summarize(
    collection({
      results: [
        {
          ...{ name: 'registry', durationSeconds: 0.0021 },
          told: {
            collected: { families: FAMILIES, invalid: new Map() },
            ...{ atMs: 0, askedAtSeconds: 0, atSeconds: 0 },
          },
        },
        {
          ...{ name: 'users', durationSeconds: 0.2 },
          error: new CollectorError('too_many', 'a.example has <too> many users'),
        },
      ],
    }),
    START,
  )

  function setUp(servers: readonly PageServer[]) {
    const app = new Hono()
    const page = createStatusPage({
      version: '1.2.3',
      telemetryPath: '/some/metrics',
      servers: () => servers,
      sources: [
        { name: 'registry', help: 'All of it.' },
        { name: 'users', help: 'Numbers of users.' },
        { name: 'other', help: 'Of another.' },
      ],
      job: (target) => `scrape <${target ?? 'none'}>`,
    })
    page.addTo(app)
    const get = async (path: string, init?: RequestInit) => await app.request(path, init)
    return { app, page, get, read: async (path: string) => await (await get(path)).text() }
  }

  const one = (history = historyOf(works)) => setUp([{ name: 'main', history }])

  test('says whether the server is up, since when, and what each source told', async () => {
    const page = textOf(await one().read('/'))
    assert.match(
      page,
      /Prosody is up Prosody 13\.0\.1 since 2025-12-30 22:00 UTC, for 1 day 2 hours/,
    )
    assert.match(page, /4 Users online|Users online 4/)
    assert.match(page, /a\.example 3 4 5 – b\.example 1 2 – –|a\.example 3 4 5 b\.example 1 2 –/)
    assert.match(page, /registry works All of it\. 3 ms/)
    assert.match(
      page,
      /users failed Numbers of users\. 200 ms a\.example has &#?\w+;too&#?\w+; many users/,
    )
    assert.match(page, /Turned off: other\./)
  })

  test('says why the server does not answer', async () => {
    const down = summarize(failing(new LinkError('no stream to xmpp://prosody:5347')), START)
    const page = textOf(await one(historyOf(works, down)).read('/'))
    assert.match(page, /The server does not answer no stream to xmpp:\/\/prosody:5347/)
    assert.doesNotMatch(page, /b\.example/)
    assert.match(textOf(await one(historyOf()).read('/')), /Not asked yet/)
  })

  test('links with relative paths to what there is, and loads only what it serves', async () => {
    const { get, read } = one()
    const page = await read('/')
    const links = Array.from(page.matchAll(/(?:href|src)="([^"]*)"/g), ([, link]) => link!)
    assert.ok(links.includes('./some/metrics') && links.includes('./-/ready'))
    for (const link of links) assert.match(link, /^\.\//)
    const assets = links.filter((link) => link.includes('?v='))
    // docs/metrics.md too, if there is one.
    assert.ok(new Set(assets).size >= 4)
    for (const link of assets) {
      const response = await get(link.slice(1))
      assert.equal(response.status, 200, link)
      assert.match(response.headers.get('Cache-Control')!, /immutable/)
    }
    assert.doesNotMatch(page, /\sstyle=|<style|\son\w+="|:\/\//)
    assert.match(textOf(page), /scrape &lt;none&gt;/)
  })

  test('allows nothing inline and nothing from elsewhere', async () => {
    const { headers } = await one().get('/')
    const policy = headers.get('Content-Security-Policy')!
    assert.match(policy, /^default-src 'none'; script-src 'self'; style-src 'self';/)
    assert.doesNotMatch(policy, /unsafe|http|\*/)
    assert.equal(headers.get('Cache-Control'), 'no-store')
  })

  test('gives Prometheus the address under which it was asked for', async () => {
    const init = { headers: { Host: 'stats.example:9347' } }
    const page = await (await one().get('/', init)).text()
    assert.match(page, /scrape &lt;stats\.example:9347&gt;/)
    const odd = await (await one().get('/', { headers: { Host: '"><script>' } })).text()
    assert.match(odd, /scrape &lt;none&gt;/)
  })

  test('is compressed for who accepts that, and no more than 100 KB with all that it loads', async () => {
    const nowMs = { at: 0 }
    const history = createHistory({ intervalMs: 15_000, now: () => (nowMs.at += 15_000) })
    // As full, and with as many digits, as it gets.
    for (let i = 0; i < 1000; i++) {
      const random = (name: string, labels: Labels = { host }) =>
        counter(name, [labels, i * 1e4 + Math.random() * 1e4])
      const kinds = ['message', 'presence', 'iq'].map(
        (kind) => [{ host, kind }, i * 1e4 + Math.random() * 9e3] as const,
      )
      const families = [
        ...FAMILIES,
        ...[
          random('xmpp_logins'),
          random('xmpp_login_failures'),
          counter('xmpp_stanzas', ...kinds),
        ],
        gauge('xmpp_ping_seconds', [{ host }, Math.random()]),
      ]
      history.add(summarize(collection({ families }), START + i * 15_000))
    }
    const { get, page } = one(history)
    const headers = { 'Accept-Encoding': 'gzip' }
    const response = await get('/', { headers })
    assert.equal(response.headers.get('Content-Encoding'), 'gzip')
    const zipped = Buffer.from(await response.arrayBuffer())
    const document = gunzipSync(zipped).toString()
    let total = zipped.length
    for (const [, url] of document.matchAll(/(?:href|src)="\.([^"]*\?v=[^"]*)"/g)) {
      total += (await (await get(url!, { headers })).arrayBuffer()).byteLength
    }
    const first = (await get('/-/page/events')).body!.getReader()
    const events = Buffer.from((await first.read()).value).toString()
    assert.match(events, /^event: history\ndata: \{"times":\[/)
    assert.equal((JSON.parse(events.split('data: ')[1]!) as { times: [] }).times.length, 960)
    page.close()
    await first.cancel()
    assert.ok(total + events.length < 100_000, `${total} + ${events.length} bytes`)
  })

  for (const { name, gate, open } of TRANSPORTS) {
    test(
      `goes on for who looks at it over ${name}, not for who asks for headers only, and ends at once`,
      { timeout: 300_000 },
      async () => {
        const { app, page } = one()
        const address = { host: '127.0.0.1', port: 0, optional: false }
        const listener = await listen(app, [address], LOG, { gate })
        const url = `${listener.urls[0]!}/-/page/events`
        for (let i = 0; i < 40; i++) {
          const head = await open(url, { method: 'HEAD' })
          assert.equal(head.status, 200)
          head.destroy()
        }
        const { headers, body, destroy } = await open(url)
        assert.equal(headers['content-type'], 'text/event-stream')
        const [first] = (await once(body, 'data')) as [Buffer]
        assert.match(String(first), /^event: history\n/)
        const ended = once(body, 'end')
        page.close()
        // Not the grace ends it, which is longer than the test may take.
        await listener.close(600_000)
        await ended
        destroy()
        assert.equal((await app.request('/-/page/events')).status, 503)
      },
    )
  }

  test('has one page for each of several servers, by its name only, and one of them all', async () => {
    const down = summarize(failing(new LinkError('no stream')), START)
    const { get, read } = setUp([
      { name: 'a b&c', history: historyOf(works) },
      { name: 'down', history: historyOf(down) },
      { name: 'new', history: historyOf() },
    ])
    const all = await read('/')
    assert.match(textOf(all), /1 of 3 servers are up/)
    assert.match(textOf(all), /a b&amp;c 6 up for 1 day 2 hours; failed: users/)
    assert.match(textOf(all), /down – does not answer: no stream/)
    assert.match(all, /href="\?server=a%20b%26c"/)
    const single = await read('/?server=a%20b%26c')
    assert.match(textOf(single), /Prosody is up/)
    assert.match(single, /data-events="\.\/-\/page\/events\?server=a%20b%26c"/)
    assert.match(single, /href="\.\/probe\?target=a%20b%26c"/)
    for (const path of ['/?server=other', '/-/page/events?server=other']) {
      assert.equal((await get(path)).status, 404)
    }
  })

  const textOf = (page: string) =>
    page
      .replace(/<[^>]*>/g, ' ')
      .replace(/\s+/g, ' ')
      .replace(/ ,/g, ',')
})

describe('those who look on', () => {
  const fake = () => {
    const app = new Hono()
    const made: string[] = ['one']
    const viewers = createViewers(2, 0)
    app.get(
      '/',
      (c: Context) =>
        viewers.add(c, () =>
          Promise.resolve(made.splice(0).map((data) => ({ event: 'e', data }))),
        ) ?? c.text('full', 503),
    )
    return { app, made, viewers }
  }
  const readerOf = (response: Response) => {
    const reader = response.body!.getReader()
    return {
      cancel: () => reader.cancel(),
      next: async () => Buffer.from((await reader.read()).value ?? '').toString(),
    }
  }

  test('are told at once, and again when something is new', async () => {
    const { app, made, viewers } = fake()
    const reader = readerOf(await app.request('/'))
    assert.equal(await reader.next(), 'event: e\ndata: one\n\n')
    made.push('two')
    viewers.wake()
    assert.equal(await reader.next(), 'event: e\ndata: two\n\n')
    viewers.close()
    assert.equal(await reader.next(), '')
    assert.equal(viewers.count(), 0)
  })

  test('are few, and one who leaves makes room', async () => {
    const { app, viewers } = fake()
    const first = readerOf(await app.request('/'))
    await app.request('/')
    assert.equal((await app.request('/')).status, 503)
    await first.next()
    await first.cancel()
    await turn()
    assert.equal(viewers.count(), 1)
    assert.equal((await app.request('/')).status, 200)
    viewers.close()
    assert.equal((await app.request('/')).status, 503)
  })

  test('who take nothing hold nothing but the last of what is new', async () => {
    const { app, viewers, made } = fake()
    const reader = readerOf(await app.request('/'))
    await turn()
    let asked = 0
    const { length } = made
    assert.equal(length, 0)
    for (let i = 0; i < 100; i++) {
      made.push(String(i))
      viewers.wake()
      await turn()
      if (made.length === 0) asked++
    }
    assert.ok(asked <= 2, `${asked} times`)
    viewers.close()
    await reader.cancel()
  })
})

test('numbers and times are told as people say them', () => {
  assert.deepEqual([undefined, 0, 0.123, 12.34, 1234.5].map(formatNumber), [
    '–',
    '0',
    '0.12',
    '12.3',
    '1,235',
  ])
  assert.deepEqual(
    [5, 60, 3600, 90_000, 93_780, 86_400 * 40].map((seconds) => formatDuration(seconds * 1000)),
    ['less than a minute', '1 minute', '1 hour', '1 day 1 hour', '1 day 2 hours', '40 days'],
  )
})
