import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { gunzipSync } from 'node:zlib'
import type { History } from '../../../src/history/history.js'
import { RANGES, type Outage } from '../../../src/history/range.js'
import type { ChartColumns } from '../../../src/page/chart-columns.js'
import { createPageServer, createTestPage, createUpSummary } from '../../support/status-page.js'
import { START_MS } from '../../support/summary-families.js'
import { createFakeHistory } from '../../support/fake-history.js'

const MINUTE_MS = 60_000
const HOUR_MS = 60 * MINUTE_MS
const DAY_MS = 24 * HOUR_MS

describe('the ranges of the page', () => {
  function setUp(
    options: { readonly knownMs?: number; readonly outages?: readonly Outage[] } = {},
    changes: Partial<History> = {},
  ) {
    const summary = createUpSummary(START_MS)
    const all = { nowMs: START_MS, knownMs: 800 * DAY_MS, ...options }
    const synthetic = createFakeHistory(summary, all)
    const history = { ...synthetic, ...changes }
    const { app, page } = createTestPage([createPageServer(history)])
    const get = async (path: string, headers: Record<string, string> = {}) =>
      await app.request(path, { headers })
    const read = async (path: string) => await (await get(path)).text()
    const readJson = async (range: string) =>
      (await (await get(`/-/page/history?range=${range}`)).json()) as ChartColumns & {
        parts: Record<string, string>
      }
    return { page, get, read, readJson, reads: synthetic.reads }
  }

  const minutesAgo = (minutes: number) => START_MS - minutes * MINUTE_MS
  const ONE_OF_EACH: readonly Outage[] = [
    { state: 'unknown', fromMs: minutesAgo(180), toMs: minutesAgo(150) },
    { state: 'down', fromMs: minutesAgo(100), toMs: minutesAgo(90) },
    { state: 'down', fromMs: minutesAgo(30), toMs: minutesAgo(28) },
  ]

  const selectedRange = (html: string) => /data-range="(\w+)"\s+aria-current=true/.exec(html)?.[1]

  test('the page has a relative link for each range of the history, and marks the selected one', async () => {
    const html = await setUp().read('/?range=7d')
    const links = Array.from(
      html.matchAll(/href="([^"]*)"\s+data-range="(\w+)"/g),
      (match) => match,
    )
    assert.deepEqual(
      links.map(([, href]) => href),
      RANGES.map(({ id }) => `./?range=${id}`),
    )
    assert.equal(selectedRange(html), '7d')
    assert.equal(html.match(/aria-current/g)?.length, 1)
    assert.deepEqual(
      Array.from(html.matchAll(/data-range="[^>]*>([^<]*)<\/a/g), ([, name]) => name!.trim()),
      ['1 hour', '4 hours', '24 hours', '7 days', '30 days', '1 year', '2 years'],
    )
  })

  test('without a known range in its URL, the page shows four hours, and the first hour while there are no more', async () => {
    assert.equal(selectedRange(await setUp().read('/')), '4h')
    assert.equal(selectedRange(await setUp().read('/?range=5w')), '4h')
    assert.equal(selectedRange(await setUp({ knownMs: 59 * MINUTE_MS }).read('/')), '1h')
    const short = setUp({}, { listRanges: () => RANGES.slice(0, 1) })
    assert.equal(selectedRange(await short.read('/?range=7d')), '1h')
  })

  test('without JavaScript, the page shows the values and the outages of the selected range', async () => {
    const { read } = setUp({ outages: ONE_OF_EACH })
    const text = textOf(await read('/?range=24h'))
    const row = /Resident memory 1\d\d MB \d{2,3}(\.\d)? MB \d{3} MB/
    assert.match(text, row)
    assert.match(text, /CPU of one core .* Prosody \d+(\.\d+)? % \d/)
    assert.match(text, /Prosody did not answer: 12 minutes in 2 outages/)
    assert.match(text, /The exporter was not running: 30 minutes/)
    assert.match(text, /Prosody answered: 23 hours 18 minutes/)
    const LIST =
      /Prosody did not answer: 2025-12-31 23:30 UTC to 2025-12-31 23:32 UTC \(2 minutes\) Prosody did not answer: 2025-12-31 22:20 UTC to .*The exporter was not running: 2025-12-31 21:00 UTC/
    assert.match(text, LIST)
    assert.match(textOf(await setUp().read('/?range=24h')), /Prosody did not answer: never/)
  })

  test('an outage before the selected range is not counted, and a flapping server has a short list', async () => {
    const { read } = setUp({ outages: ONE_OF_EACH })
    const text = textOf(await read('/?range=1h'))
    assert.match(text, /Prosody did not answer: 2 minutes in 1 outage /)
    assert.doesNotMatch(text, /exporter was not running/)
    const outages = Array.from({ length: 60 }, (_, i) => {
      const fromMs = minutesAgo(1200 - 10 * i)
      return { state: 'down', fromMs, toMs: fromMs + 2 * MINUTE_MS } as const
    })
    const html = await setUp({ outages }).read('/?range=24h')
    assert.match(textOf(html), /2 hours in 60 outages/)
    assert.match(textOf(html), /Not listed: 10 earlier outages\./)
    assert.equal(html.match(/<b>Prosody did not answer:<\/b>/g)?.length, 50)
  })

  test('the strip has a rectangle with a different shape for each state', async () => {
    const html = await setUp({ outages: ONE_OF_EACH }).read('/?range=4h')
    const rectangles = Array.from(html.matchAll(/<rect class="(answered|down|unknown)" [^>]*>/g))
    assert.deepEqual(
      rectangles.map(([, state]) => state),
      ['answered', 'answered', 'answered', 'answered', 'unknown', 'down', 'down'],
    )
    const texts = rectangles.map(([text]) => text)
    assert.match(texts[0]!, /x="0%" width="25%" y="7" height="4"/)
    assert.match(texts[4]!, /x="25%" width="12\.5%" height="100%" fill="url\(#hatching\)"/)
    assert.match(texts[5]!, /x="58\.333%" width="4\.167%" height="100%"/)
  })

  test('the values of a range are compressed JSON that caches do not store', async () => {
    const { get, readJson } = setUp({ outages: ONE_OF_EACH })
    const response = await get('/-/page/history?range=24h', { 'Accept-Encoding': 'gzip' })
    assert.equal(response.headers.get('Content-Type'), 'application/json')
    assert.equal(response.headers.get('Content-Encoding'), 'gzip')
    assert.equal(response.headers.get('Cache-Control'), 'no-store')
    const text = gunzipSync(Buffer.from(await response.arrayBuffer())).toString()
    const json = await readJson('24h')
    assert.deepEqual(JSON.parse(text), json)
    assert.equal(json.to * 1000, START_MS)
    assert.equal((json.to - json.from) * 1000, DAY_MS)
    assert.equal(json.step, 120)
    const { average, minimum, maximum } = json.tracks.clients!
    for (const column of [average, minimum!, maximum!]) {
      assert.equal(column.length, json.times.length)
    }
    assert.equal(json.times.length, 706)
    assert.match(json.parts['legend-memory']!, /Resident memory/)
    assert.match(json.parts['outages']!, /12 minutes in 2 outages/)
  })

  test('a request for an unknown range gets the known ones', async () => {
    const { get } = setUp({}, { listRanges: () => RANGES.slice(0, 2) })
    for (const query of ['', '?range=', '?range=7d', '?range=constructor']) {
      const response = await get(`/-/page/history${query}`)
      assert.equal(response.status, 400, query)
      const TEXT = 'Wrong range: expected ?range=ID with one of these: 1h, 4h\n'
      assert.equal(await response.text(), TEXT)
    }
  })

  test('the page and its script share a read of the history', async () => {
    const { read, readJson, reads } = setUp()
    await Promise.all([read('/?range=2y'), readJson('2y'), readJson('2y')])
    await readJson('2y')
    assert.deepEqual(reads, ['2y'])
  })

  test('if the history cannot be read, the page still shows the rest', async () => {
    let isBroken = true
    const { nowMs, knownMs } = { nowMs: START_MS, knownMs: DAY_MS }
    const good = createFakeHistory(createUpSummary(nowMs), { nowMs, knownMs })
    const { get, read } = setUp(
      {},
      {
        readRange: (range) =>
          isBroken ? Promise.reject(new Error('disk error')) : good.readRange(range),
      },
    )
    assert.match(textOf(await read('/')), /Prosody is up/)
    assert.equal((await get('/-/page/history?range=1h')).status, 500)
    isBroken = false
    assert.equal((await get('/-/page/history?range=1h')).status, 200)
  })

  test('the event stream sends the present values of the charts, and no history', async () => {
    const { page, get } = setUp()
    const reader = (await get('/-/page/events')).body!.getReader()
    const event = Buffer.from((await reader.read()).value as Uint8Array).toString()
    page.close()
    await reader.cancel()
    const parts = JSON.parse(event.split('data: ')[1]!) as Record<string, string>
    assert.match(parts['now-memoryBytes']!, /^1\d\d MB$/)
    assert.match(parts['now-clients']!, /^1,\d{3}$/)
    assert.ok(event.length < 8000, `${event.length} bytes`)
    assert.equal(parts['legend-memory'], undefined)
  })

  test('the first load of the page has at most 120 KB with all its files and the values of each range', async (t) => {
    const { get } = setUp({ outages: ONE_OF_EACH })
    const gzip = { 'Accept-Encoding': 'gzip' }
    for (const { id } of RANGES) {
      const response = await get(`/?range=${id}`, gzip)
      assert.equal(response.headers.get('Content-Encoding'), 'gzip')
      const zipped = Buffer.from(await response.arrayBuffer())
      const html = gunzipSync(zipped).toString()
      // The browser does not load the files to which the page only links.
      const head = html.split('<body')[0]!
      const loaded = Array.from(head.matchAll(/(?:href|src)="\.([^"]*)"/g), ([, url]) => url!)
      assert.equal(loaded.length, 4)
      let total = zipped.length
      for (const url of [...loaded, `/-/page/history?range=${id}`]) {
        total += (await (await get(url, gzip)).arrayBuffer()).byteLength
      }
      t.diagnostic(`${id}: ${total} bytes`)
      assert.ok(total < 120_000, `${id}: ${total} bytes`)
    }
  })

  /** Returns the text of the page without HTML tags. */
  const textOf = (page: string) =>
    page
      .replace(/<[^>]*>/g, ' ')
      .replace(/\s+/g, ' ')
      .replace(/ ([,:)])/g, '$1')
})
