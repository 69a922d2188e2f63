import assert from 'node:assert/strict'
import { once } from 'node:events'
import { after, before, describe, mock, test } from 'node:test'
import { Hono } from 'hono'
import { CollectorError } from '../../../src/collectors/failure.js'
import { LinkError } from '../../../src/errors.js'
import { createHistory, type History } from '../../../src/history/history.js'
import type { LinkReport } from '../../../src/history/link-report.js'
import { summarize, type ServerSummary } from '../../../src/history/server-summary.js'
import { listen } from '../../../src/http/listener.js'
import type { Family } from '../../../src/metrics/family.js'
import { createStatusPage, type PageServer } from '../../../src/page/page.js'
import type { CollectorResult } from '../../../src/scrape/collector-result.js'
import {
  counter,
  createCollection,
  createFailedCollection,
  FAMILIES,
  gauge,
  HOST,
  START_MS,
} from '../../support/summary-families.js'
import { TRANSPORTS } from '../../support/transports.js'

const ignore = () => undefined
const LOG = { debug: ignore, info: ignore, warn: ignore, error: ignore }

describe('the page', () => {
  before(() => {
    mock.timers.enable({ apis: ['Date'], now: START_MS })
  })
  after(() => {
    mock.timers.reset()
  })

  /** Creates a history whose last point is from now. The points are 15 s apart. */
  const historyOf = (...summaries: readonly ServerSummary[]): History => {
    let nowMs = 0
    const history = createHistory({ intervalMs: 15_000, now: () => (nowMs += 15_000) })
    summaries.forEach((summary, i) => {
      const ageMs = (summaries.length - 1 - i) * 15_000
      history.add({ ...summary, atMs: START_MS - ageMs })
    })
    return history
  }
  const registryWith = (exporterFamilies: readonly Family[]): CollectorResult => ({
    ...{ name: 'registry', durationSeconds: 0.0021 },
    output: {
      collected: { families: FAMILIES, exporterFamilies, invalid: new Map() },
      ...{ startedAtSeconds: 0, endedAtSeconds: 0, endedAtMs: 0 },
    },
  })
  const registry = registryWith([
    gauge('prosody_exporter_registry_updated_timestamp_seconds', [{}, 1]),
  ])
  const failedRegistry: CollectorResult = {
    ...{ name: 'registry', durationSeconds: 0 },
    error: new CollectorError('not_found', 'the module is missing. Load mod_adhoc_statistics.'),
  }
  const ping = gauge('xmpp_ping_seconds', [{ host: HOST }, 0.25])
  const software = gauge('xmpp_info', [{ host: HOST, name: 'Prosody', version: '13.0.1' }, 1])
  const works = summarize(
    createCollection({
      results: [
        registry,
        {
          ...{ name: 'users', durationSeconds: 0.2 },
          error: new CollectorError('too_many', 'a.example has <too> many users'),
        },
      ],
    }),
    START_MS,
  )

  const connected: LinkReport = {
    isConnected: true,
    connects: 1,
    problem: undefined,
    conflict: undefined,
  }
  const serverOf = (name: string, history: History, link: Partial<LinkReport> = {}) => ({
    name,
    history,
    reportLink: () => ({ ...connected, ...link }),
  })

  function setUp(servers: readonly PageServer[], notices: readonly string[] = []) {
    const app = new Hono()
    const page = createStatusPage({
      version: '1.2.3',
      directory: new URL('../../../src/', import.meta.url),
      telemetryPath: '/some/metrics',
      servers: () => servers,
      notices: () => notices,
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

  const one = (history = historyOf(works), link: Partial<LinkReport> = {}) =>
    setUp([serverOf('main', history, link)])

  test('the page shows whether the server is up, since when, and the result of each collector', async () => {
    const page = textOf(await one().read('/'))
    assert.match(
      page,
      /Prosody is up, with 1 problem Prosody 13\.0\.1 up since 2025-12-30 22:00 UTC \(1 day 2 hours\)/,
    )
    assert.match(
      page,
      /Needs attention Warning: The collector users fails: a\.example has &#?\w+;too&#?\w+; many users\. Run/,
    )
    assert.match(page, /Users online 4 Connected clients 6 Server connections 5 History/)
    assert.match(page, /a\.example 3 4 5 – b\.example 1 2 – –|a\.example 3 4 5 b\.example 1 2 –/)
    assert.match(page, /registry works The registry\. 3 ms/)
    assert.match(
      page,
      /users failed Numbers of users\. 200 ms a\.example has &#?\w+;too&#?\w+; many users/,
    )
    assert.match(page, /Disabled: other\./)
  })

  test('the page shows why the server does not answer, and no card without data', async () => {
    const down = summarize(createFailedCollection(new Error('the server hangs')), START_MS)
    const page = textOf(await one(historyOf(works, down)).read('/'))
    assert.match(page, /The server does not answer The server hangs The exporter retries/)
    assert.doesNotMatch(page, /b\.example|Users and connections|Collectors/)
    const problem = 'Prosody stopped; retrying. See: systemctl status prosody'
    const lost = textOf(await one(historyOf(works), { isConnected: false, problem }).read('/'))
    assert.doesNotMatch(lost, /The exporter retries/)
  })

  test('the page shows why the exporter is not connected, even if the last summary is older', async () => {
    const problem = 'Prosody rejected the secret. Set component_secret in prosody.cfg.lua.'
    const page = textOf(await one(historyOf(works), { isConnected: false, problem }).read('/'))
    const TEXT = /Not connected to Prosody Prosody rejected the secret\. Set component_secret/
    assert.match(page, TEXT)
    assert.doesNotMatch(page, /is up|Users and connections|Collectors/)
    assert.match(page, /Connections .*Clients – 6 6/, 'the chart of the past')
  })

  test('the page says that the exporter connects, or collects for the first time on a stream', async () => {
    const read = async (history: History, link: Partial<LinkReport>) =>
      textOf(await one(history, link).read('/'))
    const SOON = 'The first values appear in a few seconds\\.'
    const connecting = new RegExp(`Connecting to Prosody ${SOON}`)
    const collecting = new RegExp(`Collecting the first values ${SOON}`)
    assert.match(await read(historyOf(), { isConnected: false }), connecting)
    assert.match(await read(historyOf(), {}), collecting)
    assert.match(await read(historyOf(works), { connects: 2 }), collecting)
  })

  test('without statistics, the page shows the remedy under the headline, and the data of other collectors', async () => {
    const families = [software, ping]
    const half = summarize(createCollection({ families, results: [failedRegistry] }), START_MS)
    const html = await one(historyOf(half, half)).read('/')
    const TEXT =
      /Prosody is up, but statistics are not available The module is missing\. Load mod_adhoc_statistics\. Prosody 13/
    assert.match(textOf(html), TEXT)
    assert.match(html, /<h1 class="impaired">/)
    assert.doesNotMatch(textOf(html), /Users and connections/)
    assert.deepEqual(chartsWithout(html), ['connections', 'stanzas', 'logins', ...OPTIONAL])
    assert.match(textOf(html), /Ping of the slowest host 250 250 250/)
  })

  test('a registry collector that is off is no problem', async () => {
    const quiet = summarize(createCollection({ families: [software, ping] }), START_MS)
    const html = await one(historyOf(quiet, quiet)).read('/')
    assert.match(html, /<h1 class="up">Prosody is up<\/h1>/)
    assert.match(textOf(html), /Nothing needs attention\./)
    assert.deepEqual(chartsWithout(html), ['connections', 'stanzas', 'logins', ...OPTIONAL])
  })

  test('the page names a second exporter while this one is connected', async () => {
    const conflict = 'Another program logged in 3 times. Stop it.'
    const page = textOf(await one(historyOf(works), { conflict }).read('/'))
    const TEXT =
      /Prosody is up, but a second exporter disconnects this one Another program logged in 3 times\. Stop it\./
    assert.match(page, TEXT)
    assert.match(page, /Users and connections/)
  })

  test('the page says that it collects until a chart has two values', async () => {
    const read = async (...summaries: readonly ServerSummary[]) =>
      textOf(await one(historyOf(...summaries)).read('/'))
    const two = 'Collecting; a chart needs two values\\.'
    const first = await read(works)
    assert.match(first, new RegExp(`Stanzas per second ${two}`))
    assert.match(first, new RegExp(`To other servers 0 0 0 ${two}`))
    const second = await read(works, works)
    assert.match(second, /Stanzas per second Prosody has counted nothing here yet\./)
    assert.doesNotMatch(second, new RegExp(two))
  })

  test('the page says that Prosody has not collected its statistics yet', async () => {
    const results = [registryWith([])]
    const waiting = summarize(createCollection({ families: [software], results }), START_MS)
    const html = await one(historyOf(waiting, waiting)).read('/')
    assert.match(textOf(html), /They appear after the first statistics_interval/)
    assert.match(
      textOf(html),
      /Connections Collecting; Prosody has not collected its statistics yet\./,
    )
    assert.match(html, /<h1 class="up">/)
  })

  test('the page says how old values can be if statistics_interval is a number', async () => {
    const read = async (version: string, seconds: number | undefined) => {
      const info = gauge('xmpp_info', [{ host: HOST, name: 'Prosody', version }, 1])
      const collection = createCollection({ families: [info], results: [registry] })
      const summary = summarize(collection, START_MS, { interval: { seconds } })
      return textOf(await one(historyOf(summary)).read('/'))
    }
    const NUMBER = /because statistics_interval is a number.*set statistics_interval = &quot;manual/
    const page = await read('13.0.1', 60)
    assert.match(page, /Values are up to 60 s old/)
    assert.match(page, NUMBER)
    assert.match(await read('0.12.3', undefined), /Values are up to one interval old/)
    // Prosody 0.11 has no "manual".
    const old = await read('0.11.9', 60)
    assert.match(old, /Values are up to 60 s old\./)
    assert.doesNotMatch(old, NUMBER)
  })

  test('a server with nothing that needs attention says so, unless the exporter has a problem itself', async () => {
    const good = historyOf(summarize(createCollection({ results: [registry] }), START_MS))
    assert.match(textOf(await one(good).read('/')), /Nothing needs attention\./)
    const { read } = setUp([serverOf('main', good)], ['The certificate expired. Replace it.'])
    assert.doesNotMatch(await read('/'), /Nothing needs attention/)
    const down = historyOf(summarize(createFailedCollection(new Error('no')), START_MS))
    assert.doesNotMatch(await one(down).read('/'), /Nothing needs attention|Needs attention/)
  })

  test('an urgent entry changes the sign of the headline, and comes first', async () => {
    const expired = gauge('xmpp_certificate_expiry_timestamp_seconds', [
      { host: HOST },
      START_MS / 1000 - 1,
    ])
    const old = gauge('xmpp_info', [{ host: HOST, name: 'Prosody', version: '0.12.3' }, 1])
    const collection = createCollection({ families: [old, expired], results: [registry] })
    const html = await one(historyOf(summarize(collection, START_MS))).read('/')
    assert.match(html, /<h1 class="impaired red">Prosody is up, with 2 problems<\/h1>/)
    assert.match(
      textOf(html),
      /Urgent: The certificate of a\.example expired .* Warning: Prosody 0\.12\.3 is at its end/,
    )
  })

  test('a tile has its unit, and is absent if its value is unknown', async () => {
    const values = [
      gauge('xmpp_online_users', [{ host: HOST }, 3]),
      gauge('xmpp_muc_live_rooms', [{ host: 'rooms.a.example' }, 12]),
      gauge('xmpp_muc_occupants', [{ host: 'rooms.a.example' }, 45]),
      gauge('xmpp_registered_users', [{ host: HOST }, 1234]),
      gauge('xmpp_process_resident_memory_bytes', [{}, 132.4 * 1024 * 1024]),
      gauge('xmpp_certificate_expiry_timestamp_seconds', [
        { host: HOST },
        START_MS / 1000 + 71.5 * 86_400,
      ]),
    ]
    const stanzas = (count: number) =>
      counter('xmpp_stanzas', [{ host: HOST, from: 'client', kind: 'message' }, count])
    const summaryOf = (count: number) =>
      summarize(
        createCollection({ families: [software, ...values, stanzas(count)], results: [registry] }),
        START_MS,
      )
    // One interval of 15 s has 10 messages.
    const page = textOf(await one(historyOf(summaryOf(0), summaryOf(10))).read('/'))
    const TILES =
      /attention\. Users online 3 Rooms, with 45 occupants 12 Accounts 1,234 Messages per minute 40 First certificate expires in 71 days Memory of Prosody 132 MB History/
    assert.match(page, TILES)
  })

  test('a long reason of a collector has a short form', async () => {
    const failed = { name: 'users', durationSeconds: 0, error: new Error('no answer. Try it.') }
    const summary = summarize(createCollection({ results: [registry, failed] }), START_MS)
    const html = await one(historyOf(summary)).read('/')
    assert.match(html, /<summary>No answer\.<\/summary>\s*Try it\./)
    assert.match(textOf(html), /Warning: The collector users fails: no answer\. Try it\. Users/)
  })

  test('each page shows the problems of the exporter itself', async () => {
    const servers = [serverOf('a', historyOf(works)), serverOf('b', historyOf(works))]
    const { read } = setUp(servers, ['The <certificate> expired. Replace it.'])
    for (const path of ['/', '/?server=b']) {
      assert.match(
        await read(path),
        /<p class="notice"><b>The &lt;certificate&gt; expired\.<\/b> Replace it\.<\/p>/,
      )
    }
    assert.match(await one().read('/'), /<div id="notices" role="status"><\/div>/)
  })

  test('the page has only relative links, and loads only files of the exporter', async () => {
    const { get, read } = one()
    const page = await read('/')
    const links = Array.from(page.matchAll(/(?:href|src)="([^"]*)"/g), ([, link]) => link!)
    assert.ok(links.includes('./some/metrics') && links.includes('./-/ready'))
    for (const name of ['prosody.json', 'rules.yml', 'metrics.md', 'operations.md'])
      assert.ok(links.some((link) => link.includes(`/${name}?v=`), name))
    for (const link of links) assert.match(link, /^\.\//)
    const assets = links.filter((link) => link.includes('?v='))
    // The script, the chart library, the style, the icon, and the four files to which the page links.
    assert.equal(new Set(assets).size, 8)
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
        assert.match(String(first), /^event: parts\ndata: \{/)
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
      serverOf('a b&c', historyOf(works)),
      serverOf('down', historyOf(down)),
      serverOf('new', historyOf(), { isConnected: false }),
      serverOf('lost', historyOf(works), { isConnected: false, problem: 'No. Try this.' }),
      serverOf('half', historyOf(summarize(createCollection({ results: [failedRegistry] }), 0))),
    ])
    const all = await read('/')
    assert.match(textOf(all), /2 of 5 servers are up, 2 with a problem/)
    // A server is down, so the sign of the headline is red.
    assert.match(all, /<h1 class="impaired red">/)
    assert.match(
      textOf(all),
      /a b&amp;c 6 up, 1 problem: The collector users fails: a\.example has/,
    )
    assert.match(textOf(all), /down – does not answer: No stream/)
    assert.match(textOf(all), /new – connecting/)
    assert.match(textOf(all), /lost – not connected: No\. half/)
    const HALF = /half 6 up, but statistics are not available: The module is missing\. Metrics,/
    assert.match(textOf(all), HALF)
    assert.match(all, /href="\?server=a%20b%26c"/)
    const single = await read('/?server=a%20b%26c')
    assert.match(textOf(single), /Prosody is up/)
    assert.match(single, /data-events="\.\/-\/page\/events\?server=a%20b%26c"/)
    assert.match(single, /href="\.\/probe\?target=a%20b%26c"/)
    assert.match(single, /data-history="\.\/-\/page\/history\?server=a%20b%26c"/)
    assert.match(single, /href="\.\/\?server=a\+b%26c&amp;range=1h"/)
    for (const path of [
      ...['/?server=other', '/-/page/events?server=other'],
      ...['/-/page/history?server=other&range=1h', '/-/page/history?range=1h'],
    ]) {
      assert.equal((await get(path)).status, 404)
    }
  })

  /** The charts whose values many servers do not have. */
  const OPTIONAL = [
    ...['memory', 'cpu', 'rooms', 'accounts', 'registrations', 'unauthenticated', 'descriptors'],
  ]

  /** Returns the ids of the charts that the page does not show, because they have neither data nor an explanation. */
  const chartsWithout = (page: string) =>
    Array.from(page.matchAll(/<div id="legend-(\w+)" class="legend"><\/div>/g), ([, id]) => id)

  /** Returns the text of the page without HTML tags. */
  const textOf = (page: string) =>
    page
      .replace(/<[^>]*>/g, ' ')
      .replace(/\s+/g, ' ')
      .replace(/ ([,:)])/g, '$1')
})
