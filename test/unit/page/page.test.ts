import assert from 'node:assert/strict'
import { once } from 'node:events'
import { describe, test } from 'node:test'
import { gunzipSync } from 'node:zlib'
import { Hono } from 'hono'
import { CollectorError } from '../../../src/collectors/failure.js'
import { LinkError } from '../../../src/errors.js'
import { createHistory, type History } from '../../../src/history/history.js'
import { summarize, type ServerSummary } from '../../../src/history/server-summary.js'
import { listen } from '../../../src/http/listener.js'
import { createStatusPage, type PageServer } from '../../../src/page/page.js'
import {
  counter,
  createCollection,
  createFailedCollection,
  FAMILIES,
  gauge,
  HOST,
  START_MS,
  type Labels,
} from '../../support/summary-families.js'
import { TRANSPORTS } from '../../support/transports.js'

const ignore = () => undefined
const LOG = { debug: ignore, info: ignore, warn: ignore, error: ignore }

describe('the page', () => {
  const historyOf = (...summaries: readonly ServerSummary[]): History => {
    let nowMs = 0
    const history = createHistory({ intervalMs: 15_000, now: () => (nowMs += 15_000) })
    for (const summary of summaries) history.add(summary)
    return history
  }
  const works = summarize(
    createCollection({
      results: [
        {
          ...{ name: 'registry', durationSeconds: 0.0021 },
          output: {
            collected: { families: FAMILIES, invalid: new Map() },
            ...{ startedAtSeconds: 0, endedAtSeconds: 0, endedAtMs: 0 },
          },
        },
        {
          ...{ name: 'users', durationSeconds: 0.2 },
          error: new CollectorError('too_many', 'a.example has <too> many users'),
        },
      ],
    }),
    START_MS,
  )

  function setUp(servers: readonly PageServer[]) {
    const app = new Hono()
    const page = createStatusPage({
      version: '1.2.3',
      directory: new URL('../../../src/', import.meta.url),
      telemetryPath: '/some/metrics',
      servers: () => servers,
      collectors: [
        { name: 'registry', help: 'The registry.' },
        { name: 'users', help: 'Numbers of users.' },
        { name: 'other', help: 'Another one.' },
      ],
      job: (target) => `scrape <${target ?? 'none'}>`,
    })
    page.addTo(app)
    const get = async (path: string, init?: RequestInit) => await app.request(path, init)
    return { app, page, get, read: async (path: string) => await (await get(path)).text() }
  }

  const one = (history = historyOf(works)) => setUp([{ name: 'main', history }])

  test('the page shows whether the server is up, since when, and the result of each collector', async () => {
    const page = textOf(await one().read('/'))
    assert.match(
      page,
      /Prosody is up Prosody 13\.0\.1 up since 2025-12-30 22:00 UTC \(1 day 2 hours\)/,
    )
    assert.match(page, /4 Users online|Users online 4/)
    assert.match(page, /a\.example 3 4 5 – b\.example 1 2 – –|a\.example 3 4 5 b\.example 1 2 –/)
    assert.match(page, /registry works The registry\. 3 ms/)
    assert.match(
      page,
      /users failed Numbers of users\. 200 ms a\.example has &#?\w+;too&#?\w+; many users/,
    )
    assert.match(page, /Disabled: other\./)
  })

  test('the page shows why the server does not answer', async () => {
    const down = summarize(
      createFailedCollection(new LinkError('no stream to xmpp://prosody:5347')),
      START_MS,
    )
    const page = textOf(await one(historyOf(works, down)).read('/'))
    assert.match(page, /The server does not answer no stream to xmpp:\/\/prosody:5347/)
    assert.doesNotMatch(page, /b\.example/)
    assert.match(textOf(await one(historyOf()).read('/')), /No data yet/)
  })

  test('the page explains why a chart has no values', async () => {
    const withState = (isWorking: boolean) =>
      summarize(
        createCollection({
          families: [],
          results: [
            {
              ...{ name: 'registry', durationSeconds: 0 },
              ...(isWorking
                ? {
                    output: {
                      collected: { families: FAMILIES, invalid: new Map<string, number>() },
                      ...{ startedAtSeconds: 0, endedAtSeconds: 0, endedAtMs: 0 },
                    },
                  }
                : { error: new CollectorError('not_found', 'load the module') }),
            },
          ],
        }),
        START_MS,
      )
    const read = async (...summaries: readonly ServerSummary[]) =>
      textOf(await one(historyOf(...summaries)).read('/'))
    const NOT_AVAILABLE = /Not available: the exporter has no data from mod_adhoc_statistics\./
    assert.match(await read(withState(false), withState(false)), NOT_AVAILABLE)
    for (const page of [
      await read(withState(false)),
      await read(withState(true), withState(true)),
    ]) {
      assert.match(page, /Stanzas per second No data yet\./)
      assert.doesNotMatch(page, NOT_AVAILABLE)
    }
  })

  test('the page has only relative links, and loads only files of the exporter', async () => {
    const { get, read } = one()
    const page = await read('/')
    const links = Array.from(page.matchAll(/(?:href|src)="([^"]*)"/g), ([, link]) => link!)
    assert.ok(links.includes('./some/metrics') && links.includes('./-/ready'))
    for (const link of links) assert.match(link, /^\.\//)
    const assets = links.filter((link) => link.includes('?v='))
    // The page loads its script, the chart library, its style and its icon. docs/metrics.md can be missing.
    assert.ok(new Set(assets).size >= 4)
    for (const link of assets) {
      const response = await get(link.slice(1))
      assert.equal(response.status, 200, link)
      assert.match(response.headers.get('Cache-Control')!, /immutable/)
    }
    assert.doesNotMatch(page, /\sstyle=|<style|\son\w+="|:\/\//)
    assert.match(textOf(page), /scrape &lt;none&gt;/)
  })

  test('the content security policy forbids inline code and other origins', async () => {
    const { headers } = await one().get('/')
    const policy = headers.get('Content-Security-Policy')!
    assert.match(policy, /^default-src 'none'; script-src 'self'; style-src 'self';/)
    assert.doesNotMatch(policy, /unsafe|http|\*/)
    assert.equal(headers.get('Cache-Control'), 'no-store')
  })

  test('the page shows the address of the request as the target for Prometheus', async () => {
    const init = { headers: { Host: 'stats.example:9347' } }
    const page = await (await one().get('/', init)).text()
    assert.match(page, /scrape &lt;stats\.example:9347&gt;/)
    const odd = await (await one().get('/', { headers: { Host: '"><script>' } })).text()
    assert.match(odd, /scrape &lt;none&gt;/)
  })

  test('the page is compressed for a client that accepts gzip, and has at most 100 KB with all its files', async () => {
    let nowMs = 0
    const history = createHistory({ intervalMs: 15_000, now: () => (nowMs += 15_000) })
    // The history has the maximum number of points, whose values have many digits.
    for (let i = 0; i < 1000; i++) {
      const random = (name: string, labels: Labels = { host: HOST }) =>
        counter(name, [labels, i * 1e4 + Math.random() * 1e4])
      const kinds = ['message', 'presence', 'iq'].map(
        (kind) => [{ host: HOST, kind }, i * 1e4 + Math.random() * 9e3] as const,
      )
      const families = [
        ...FAMILIES,
        ...[
          random('xmpp_logins'),
          random('xmpp_login_failures'),
          counter('xmpp_stanzas', ...kinds),
        ],
        gauge('xmpp_ping_seconds', [{ host: HOST }, Math.random()]),
      ]
      history.add(summarize(createCollection({ families }), START_MS + i * 15_000))
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
      `the page streams events over ${name}, ends them on close, and does not count HEAD requests as viewers`,
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
        // The grace period is longer than the time limit of this test, so it does not end the stream.
        await listener.close(600_000)
        await ended
        destroy()
        assert.equal((await app.request('/-/page/events')).status, 503)
      },
    )
  }

  test('several servers have a page each, and an overview', async () => {
    const down = summarize(createFailedCollection(new LinkError('no stream')), START_MS)
    const { get, read } = setUp([
      { name: 'a b&c', history: historyOf(works) },
      { name: 'down', history: historyOf(down) },
      { name: 'new', history: historyOf() },
    ])
    const all = await read('/')
    assert.match(textOf(all), /1 of 3 servers are up/)
    assert.match(textOf(all), /a b&amp;c 6 up for 1 day 2 hours; failed collectors: users/)
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

  /** Returns the text of the page without HTML tags. */
  const textOf = (page: string) =>
    page
      .replace(/<[^>]*>/g, ' ')
      .replace(/\s+/g, ' ')
      .replace(/ ([,)])/g, '$1')
})
