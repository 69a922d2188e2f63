// Tests the ranges of the status page in a real Chromium, with a history of two years.

import assert from 'node:assert/strict'
import { Hono } from 'hono'
import { describe, test, type TestContext } from 'node:test'
import type { Outage } from '../../src/history/range.js'
import { listen } from '../../src/http/listener.js'
import { findAccessibilityProblems, shareChromium, type Tab } from '../support/chromium.js'
import { createPageServer, createTestPage, createUpSummary } from '../support/status-page.js'
import { createFakeHistory } from '../support/fake-history.js'

const MINUTE_MS = 60_000
const HOUR_MS = 60 * MINUTE_MS
const DAY_MS = 24 * HOUR_MS
const NOW_MS = Date.UTC(2026, 5, 15, 12)
const ignore = () => undefined
const LOG = { debug: ignore, info: ignore, warn: ignore, error: ignore }

const OUTAGES: readonly Outage[] = [
  { state: 'unknown', fromMs: NOW_MS - 200 * DAY_MS, toMs: NOW_MS - 190 * DAY_MS },
  { state: 'unknown', fromMs: NOW_MS - 3 * DAY_MS, toMs: NOW_MS - 2.5 * DAY_MS },
  { state: 'down', fromMs: NOW_MS - 5 * HOUR_MS, toMs: NOW_MS - 4.5 * HOUR_MS },
  { state: 'down', fromMs: NOW_MS - HOUR_MS, toMs: NOW_MS - 55 * MINUTE_MS },
]

const CHARTS = 11

const textOf = (selector: string) =>
  `(document.querySelector(${JSON.stringify(selector)})?.innerText ?? '').replace(/\\s+/g, ' ')`
const countOf = (selector: string) =>
  `document.querySelectorAll(${JSON.stringify(selector)}).length`
const SELECTED = `document.querySelector('.ranges [aria-current=true]')?.dataset.range`
/** Whether all charts of the page show the values of a range. */
const isShown = (range: string) =>
  `${SELECTED} === '${range}' && ${countOf('.plot:not([hidden]) canvas')} === ${CHARTS} &&
    !document.querySelector('#history').ariaBusy`

describe('the ranges of the status page in Chromium', { concurrency: 2 }, () => {
  const openTab = shareChromium()

  /** Serves the page below the path `/some/path`, like a reverse proxy. */
  async function setUp(t: TestContext) {
    const history = createFakeHistory(createUpSummary(NOW_MS), {
      ...{ nowMs: NOW_MS, knownMs: 800 * DAY_MS, outages: OUTAGES },
    })
    const { app, page } = createTestPage([createPageServer(history)])
    const proxy = new Hono()
    /** If set, the response to each request for the values of a range. */
    const fault: { respond?: () => Response } = {}
    proxy.all('/some/path/*', (c) => {
      const url = new URL(c.req.url)
      url.pathname = url.pathname.replace('/some/path', '')
      if (url.pathname.endsWith('/history') && fault.respond) return fault.respond()
      return app.fetch(new Request(url, c.req.raw), c.env)
    })
    const address = { host: '127.0.0.1', port: 0, optional: false }
    const listener = await listen(proxy, [address], LOG, {})
    t.after(async () => {
      page.close()
      await listener.close(1000)
    })
    const tab = await openTab()
    return { history, tab, fault, page, url: `${listener.urls[0]!}/some/path/` }
  }

  const readSlider = (tab: Tab) =>
    tab.evaluate<string>(`document.querySelector('.plot').ariaValueText`)

  test('each range is accessible and needs no horizontal scrolling in light and dark mode, also on a phone', async (t) => {
    const { tab, url } = await setUp(t)
    for (const range of ['4h', '30d', '2y']) {
      await tab.open(`${url}?range=${range}`)
      await tab.until(isShown(range))
      for (const [width, height] of [
        [1280, 720],
        [360, 640],
      ] as const) {
        await tab.resize(width, height)
        for (const isDark of [false, true]) {
          await tab.dark(isDark)
          const where = `${range}, ${width} px, ${isDark ? 'dark' : 'light'}`
          await tab.until(
            `[...document.querySelectorAll('canvas')].every(
              (each) => each.clientWidth === each.closest('.plot').clientWidth)`,
          )
          const scrolls = 'document.documentElement.scrollWidth > innerWidth'
          assert.equal(await tab.evaluate(scrolls), false, where)
          await tab.evaluate(`document.querySelector('#outages details').open = true`)
          assert.deepEqual(await findAccessibilityProblems(tab), [], where)
        }
      }
    }
    assert.deepEqual(tab.complaints, [])
  })

  test('the keyboard selects a range, which a reload of the page and a shared link keep', async (t) => {
    const { tab, url } = await setUp(t)
    await tab.open(url)
    await tab.until(isShown('4h'))
    assert.match(await readSlider(tab), /^\d\d:\d\d:\d\d: Clients [\d,.]+, From other servers/)
    await tab.evaluate('globalThis.isStillThere = true')
    const focused = () => tab.evaluate<string>(`document.activeElement.textContent.trim()`)
    for (let i = 0; i < 20 && (await focused()) !== '30 days'; i++) await tab.press('Tab', 9)
    assert.equal(await focused(), '30 days')
    await tab.press('Enter', 13)
    await tab.until(isShown('30d'))
    await tab.until(`${textOf('#outages')}.includes('35 minutes in 2 outages')`)
    assert.equal(await focused(), '30 days')
    assert.equal(await tab.evaluate('location.href'), `${url}?range=30d`)
    assert.equal(await tab.evaluate('globalThis.isStillThere'), true)
    // The values of long ranges are averages with limits.
    assert.match(
      await readSlider(tab),
      /^15 Jun 2026, 11:00: Clients [\d,.]+ \([\d,.]+ to [\d,.]+\), From/,
    )
    await tab.open(await tab.evaluate('location.href'))
    assert.equal(await tab.evaluate('globalThis.isStillThere'), undefined)
    await tab.until(isShown('30d'))
    assert.deepEqual(
      tab.requests.filter((request) => !request.url.startsWith(url)),
      [],
    )
    assert.deepEqual(tab.complaints, [])
  })

  test('the charts have no values while the exporter was not running, and the time has the precision of the range', async (t) => {
    const { tab, url } = await setUp(t)
    await tab.open(`${url}?range=7d`)
    await tab.until(isShown('7d'))
    // Each page is 20 values. The outage began three days ago, and the charts have a value for each 15 minutes.
    await tab.evaluate(`document.querySelector('.plot').focus()`)
    const isGap = `document.querySelector('.plot').ariaValueText.endsWith('no data')`
    for (let i = 0; i < 700 && !(await tab.evaluate<boolean>(isGap)); i++) {
      await tab.press('ArrowLeft', 37)
    }
    assert.equal(await readSlider(tab), '15 Jun 2026, 07:15: no data')
    await tab.evaluate(`document.querySelector('[data-range="2y"]').click()`)
    await tab.until(isShown('2y'))
    await tab.until(`/^\\d+ Jun 2026: /.test(document.querySelector('.plot').ariaValueText)`)
    assert.match(
      await tab.evaluate(textOf('#outages')),
      /exporter was not running: 10 days 12 hours/,
    )
    assert.equal(await tab.evaluate(countOf('.strip .unknown')), 2)
    assert.equal(await tab.evaluate(countOf('.strip .down')), 2)
    assert.deepEqual(tab.complaints, [])
  })

  test('the page says why it has no charts, and shows them when the exporter answers again', async (t) => {
    const { tab, url, fault } = await setUp(t)
    const problem = textOf('#history-problem')
    const hasNoCharts = `getComputedStyle(document.querySelector('.charts')).display === 'none'`
    fault.respond = () => new Response('Not found. The metrics are elsewhere.\n', { status: 404 })
    await tab.open(`${url}?range=30d`)
    const NOT_FOUND =
      'The charts cannot be loaded. The exporter returned status 404. Not found. The metrics are elsewhere. The page retries.'
    await tab.until(`${problem} === ${JSON.stringify(NOT_FOUND)}`)
    assert.equal(await tab.evaluate(hasNoCharts), true)
    assert.deepEqual(await findAccessibilityProblems(tab), [])
    // The page of another server, for example of a reverse proxy.
    fault.respond = () =>
      new Response('<p>Log in</p>', { headers: { 'Content-Type': 'text/html' } })
    await tab.until(`${problem}.includes('The response is not from the exporter.')`)
    delete fault.respond
    await tab.until(isShown('30d'))
    assert.equal(await tab.evaluate(problem), '')
    assert.equal(await tab.evaluate(hasNoCharts), false)

    await tab.cdp.Network.emulateNetworkConditions({
      ...{ offline: true, latency: 0, downloadThroughput: -1, uploadThroughput: -1 },
    })
    await tab.evaluate(`document.querySelector('[data-range="7d"]').click()`)
    await tab.until(`${problem}.includes('No connection to the exporter.')`)
    await tab.cdp.Network.emulateNetworkConditions({
      ...{ offline: false, latency: 0, downloadThroughput: -1, uploadThroughput: -1 },
    })
    await tab.until(isShown('7d'))
  })

  test('the page loads the values again when they are older than a step', async (t) => {
    const { tab, url, page } = await setUp(t)
    await tab.open(`${url}?range=1h`)
    await tab.until(isShown('1h'))
    const isHistory = ({ url }: { url: string }) => url.includes('/history?')
    assert.equal(tab.requests.filter(isHistory).length, 1)
    // Each event of the stream causes a check.
    const events = setInterval(page.notify, 1000)
    t.after(() => {
      clearInterval(events)
    })
    const loaded = `performance.getEntriesByType('resource').filter(({ name }) => name.includes('/history?')).length`
    await tab.until(`${loaded} >= 2`)
    const [first, second] = await tab.evaluate<number[]>(
      `performance.getEntriesByType('resource').filter(({ name }) => name.includes('/history?')).map(({ startTime }) => startTime)`,
    )
    assert.ok(second! - first! >= 15_000, `${second! - first!} ms`)
  })

  test('without JavaScript, the links select a range, and the page shows its values', async (t) => {
    const { tab, url } = await setUp(t)
    await tab.cdp.Emulation.setScriptExecutionDisabled({ value: true })
    await tab.open(url)
    assert.match(await tab.evaluate(textOf('#legend-memory')), /Resident memory \d+ MB/)
    await tab.open(`${url}?range=30d`)
    assert.equal(await tab.evaluate(SELECTED), '30d')
    assert.match(await tab.evaluate(textOf('#outages')), /35 minutes in 2 outages/)
    assert.match(await tab.evaluate(textOf('#legend-memory')), /Resident memory \d+ MB/)
    assert.equal(await tab.evaluate(countOf('canvas')), 0)
    // The program axe needs promises. The scripts of the page do not run any more.
    await tab.cdp.Emulation.setScriptExecutionDisabled({ value: false })
    assert.deepEqual(await findAccessibilityProblems(tab), [])
  })
})
