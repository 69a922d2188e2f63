// Tests the status page of the exporter in a real Chromium, with real Prosody servers and real XMPP clients.

import assert from 'node:assert/strict'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, test, type TestContext } from 'node:test'
import { getHistoryPath } from '../../src/history/state-directory.js'
import { freePort, temporaryDirectory } from '../support/setup/process.js'
import { findAccessibilityProblems, shareChromium, type Tab } from '../support/chromium.js'
import { withExporter, withExporterFor, type RunningExporter } from '../support/exporter.js'
import { prosodyVersions, withProsody, type Version } from '../support/prosody.js'
import { untilReady } from '../support/real.js'
import { writeSyntheticHistory } from '../support/synthetic-history.js'
import { authenticate, login, LoginError } from '../support/xmpp-client.js'

const USERS = { 'juliet@one.example': 'pw', 'romeo@two.example': 'pw' }
const FAST = { PROSODY_EXPORTER_PAGE_INTERVAL: '1s' }

const textOf = (selector: string) =>
  `(document.querySelector(${JSON.stringify(selector)})?.innerText ?? '').replace(/\\s+/g, ' ')`
const has = (selector: string, text: string) =>
  `${textOf(selector)}.includes(${JSON.stringify(text)})`

describe('the status page in Chromium', { concurrency: 2 }, () => {
  const openTab = shareChromium()

  async function setUp(t: TestContext, version: Version) {
    const prosody = await withProsody(t, { version, users: USERS })
    const exporter = await withExporterFor(t, prosody, { stock: true, env: FAST })
    await untilReady(exporter, 200)
    const tab = await openTab()
    return { prosody, exporter, tab }
  }

  /** Asserts that the browser logged no message and that every request of the page went to the exporter. */
  function assertQuiet(tab: Tab, exporter: RunningExporter): void {
    assert.deepEqual(tab.complaints, [])
    const elsewhere = tab.requests.filter(({ url }) => !url.startsWith(`${exporter.url}/`))
    assert.deepEqual(elsewhere, [])
  }

  for (const version of prosodyVersions) {
    test(`the status page shows the state of Prosody ${version} and its changes`, async (t) => {
      const { prosody, exporter, tab } = await setUp(t, version)
      await tab.open(`${exporter.url}/`)
      await tab.until(has('h1', 'Prosody is up'))
      await tab.until(has('#link', 'Live'))
      await tab.until(has('#about', `Prosody ${version}`))
      await tab.until(has('#sources', 'registry works'))
      assert.match(await tab.evaluate(textOf('#job')), /targets: \['127\.0\.0\.1:\d+'\]/)

      const { c2s: port } = prosody.ports
      const jids = Object.keys(USERS)
      const clients = await Promise.all(jids.map((jid) => login({ port, jid, password: 'pw' })))
      t.after(() => Promise.all(clients.map((client) => client.close())))
      await tab.until(has('#connected', 'one.example 1 1'), 'a client of one.example')
      await tab.until(has('#connected', 'two.example 1 1'), 'a client of two.example')
      await tab.until(has('#connected', 'IPv4 2'), 'both clients with IPv4')
      await assert.rejects(authenticate({ port, jid: jids[0]!, password: 'no' }), LoginError)
      const failed = `[...document.querySelectorAll('#legend-logins tr')]
        .some((row) => /^Failed.*[1-9]/.test(row.innerText.replace(/\\s+/g, ' ')))`
      await tab.until(failed, 'the failed login')
      await tab.until(`document.querySelectorAll('canvas').length >= 3`)

      await clients[0]!.close()
      await tab.until(has('#connected', 'one.example 0 0'), 'the client is gone')
      const page = await tab.evaluate<string>('document.documentElement.outerHTML')
      assert.doesNotMatch(page, /juliet|romeo/)
      assertQuiet(tab, exporter)
    })
  }

  test('without a reload, the status page shows that Prosody has stopped, the reason, and that Prosody is back', async (t) => {
    const { prosody, exporter, tab } = await setUp(t, '13.0.1')
    await tab.open(`${exporter.url}/`)
    await tab.until(has('h1', 'Prosody is up'))
    await tab.evaluate('globalThis.isStillThere = true')
    await prosody.stop()
    await tab.until(has('h1', 'Not connected to Prosody'))
    await tab.until(has('#about .reason', 'Prosody stopped'), 'the reason')
    await tab.until(`${textOf('#values')} + ${textOf('#connected')} + ${textOf('#sources')} === ''`)
    assert.equal(
      await tab.evaluate('document.title'),
      'Not connected to Prosody – Prosody Exporter',
    )
    assert.deepEqual(await findAccessibilityProblems(tab), [])
    await prosody.restart()
    await tab.until(has('h1', 'Prosody is up'))
    await tab.until(has('#sources', 'registry works'))
    await tab.until(has('#outages', 'in 1 outage'))
    assert.match(
      await tab.evaluate(textOf('#outages')),
      /Prosody answered: .* Prosody did not answer: .* in 1 outage/,
    )
    assert.equal(await tab.evaluate(`document.querySelectorAll('.strip .down').length`), 1)
    assert.equal(await tab.evaluate('globalThis.isStillThere'), true)
    assertQuiet(tab, exporter)

    // The exporter stops even though the status page is open. The page reconnects when the exporter runs again.
    await exporter.stop()
    assert.equal(await exporter.exited, 0)
    await tab.until(has('#link', 'No connection to the exporter'))
    await withExporterFor(t, prosody, { stock: true, env: FAST, port: exporter.port })
    await tab.until(has('#link', 'Live'))
  })

  test('the strip of the status page distinguishes a stop of Prosody from a stop of the exporter', async (t) => {
    const { path: directory, remove } = await temporaryDirectory('prosody-exporter-state')
    t.after(remove)
    const prosody = await withProsody(t, { version: '13.0.1' })
    // The previous exporter stopped five minutes ago.
    await writeSyntheticHistory(getHistoryPath(directory, prosody.statsDomains[0]!), {
      endMs: Date.now() - 5 * 60_000,
      days: 40,
    })
    const exporter = await withExporterFor(t, prosody, {
      flags: [`--state.directory=${directory}`],
      env: { PROSODY_EXPORTER_PAGE_INTERVAL: '2s' },
    })
    const tab = await openTab()
    await tab.open(`${exporter.url}/?range=1h`)
    await tab.until(has('#outages', 'The exporter was not running: '))
    await tab.until(has('#outages', 'Prosody did not answer: never'))
    await prosody.stop()
    await tab.until(has('#outages', 'in 1 outage'))
    const countOf = (selector: string) => `document.querySelectorAll('${selector}').length`
    assert.equal(await tab.evaluate(countOf('.strip .down')), 1)
    assert.equal(await tab.evaluate(countOf('.strip .unknown')), 1)
    assert.equal(await tab.evaluate(countOf('.ranges a')), 7)
    // Before this, the file has a month of values.
    for (const range of ['7d', '30d', '1y']) {
      await tab.open(`${exporter.url}/?range=${range}`)
      await tab.until(`${countOf('.plot:not([hidden]) canvas')} > 8`)
    }
  })

  test('without any collection, the status page shows that the exporter is not connected, and why', async (t) => {
    const prosody = await withProsody(t, { version: '13.0.1' })
    const exporter = await withExporterFor(t, prosody, {
      env: { PROSODY_EXPORTER_PAGE_INTERVAL: '0' },
    })
    const tab = await openTab()
    await tab.open(`${exporter.url}/`)
    await tab.until(has('h1', 'is up'))
    await prosody.stop()
    await tab.until(has('#about .reason', 'Prosody stopped'))
    await tab.until(has('h1', 'Not connected to Prosody'))
    await prosody.restart()
    await tab.until(has('h1', 'is up'))
    assertQuiet(tab, exporter)
  })

  test('the status page says how old the values are if statistics_interval is a number', async (t) => {
    const globals = { statistics_interval: '2' }
    const prosody = await withProsody(t, { version: '13.0.1', users: USERS, globals })
    const exporter = await withExporterFor(t, prosody, { stock: true, env: FAST })
    const tab = await openTab()
    await tab.open(`${exporter.url}/`)
    await tab.until(has('#about', 'Values are up to 2 s old'))
    assert.equal(await tab.evaluate(`document.querySelector('h1').className`), 'up')
    assertQuiet(tab, exporter)
  })

  test('a reason of a collector that the reader opened stays open when the page updates', async (t) => {
    const prosody = await withProsody(t, { version: '13.0.1', hasModule: false })
    const exporter = await withExporterFor(t, prosody, { stock: true, env: FAST })
    const tab = await openTab()
    await tab.open(`${exporter.url}/`)
    await tab.until(has('h1', 'Prosody is up, but statistics are not available'))
    await tab.evaluate(`document.querySelector('summary').click()`)
    const before = await tab.evaluate<string>(textOf('#about'))
    await tab.until(`${textOf('#about')} !== ${JSON.stringify(before)}`, 'something new')
    assert.equal(await tab.evaluate(`document.querySelector('details').open`), true)
    await tab.until(`document.querySelectorAll('canvas').length === 1`)
    assertQuiet(tab, exporter)
  })

  test('the status page is accessible and needs no horizontal scrolling in light and dark mode at all widths, and its first load is at most 120 KB', async (t) => {
    const { exporter, tab } = await setUp(t, '0.12.3')
    await tab.resize(1100)
    await tab.open(`${exporter.url}/`)
    await tab.until(`document.querySelectorAll('canvas').length >= 3`)
    const bytes = tab.requests.reduce((sum, request) => sum + request.bytes, 0)
    const [document = { bytes: 0 }] = tab.requests
    assert.ok(document.bytes > 1000 && bytes <= 120_000, `the page has ${bytes} bytes`)
    t.diagnostic(`first load ${bytes} bytes`)

    const backgrounds = new Set<string>()
    for (const isDark of [false, true]) {
      await tab.dark(isDark)
      for (const width of [1100, 360]) {
        await tab.resize(width)
        const where = `${isDark ? 'dark' : 'light'}, ${width} px`
        await tab.until(
          `[...document.querySelectorAll('canvas')].every((each) => each.clientWidth <= ${width})`,
        )
        const scrolls = 'document.documentElement.scrollWidth > innerWidth'
        assert.equal(await tab.evaluate(scrolls), false, where)
        assert.deepEqual(await findAccessibilityProblems(tab), [], where)
      }
      backgrounds.add(await tab.evaluate('getComputedStyle(document.body).backgroundColor'))
    }
    assert.equal(backgrounds.size, 2)
    assertQuiet(tab, exporter)
  })

  test('every control of the status page works with the keyboard', async (t) => {
    const { exporter, tab } = await setUp(t, '13.0.1')
    await tab.open(`${exporter.url}/`)
    await tab.until(`document.querySelector('.plot')?.ariaValueMax > 1`, 'a few points')
    const focused = () =>
      tab.evaluate<string>(
        `(document.activeElement.ariaLabel ?? document.activeElement.textContent).trim()`,
      )
    const reached: string[] = []
    const tabTo = async (name: string) => {
      for (let i = 0; i < 30; i++) {
        await tab.press('Tab', 9)
        reached.push(await focused())
        const outline = 'getComputedStyle(document.activeElement).outlineStyle'
        assert.equal(
          await tab.evaluate(outline),
          'solid',
          `${reached.at(-1)} has a visible outline when it has the focus`,
        )
        if (reached.at(-1) === name) return
      }
      assert.fail(`${name} is not among ${reached.join(', ')}`)
    }
    await tabTo('4 hours')
    await tabTo('Connections: choose a point in time')
    const moment = () => tab.evaluate<string>('document.activeElement.ariaValueText')
    await tab.press('Home', 36)
    const first = await moment()
    assert.match(first, /^\d\d:\d\d:\d\d: Clients 0/)
    await tab.press('ArrowRight', 39)
    assert.notEqual(await moment(), first)
    assert.equal(await tab.evaluate(textOf('.readout')), await moment())
    await tab.press('ArrowLeft', 37)
    assert.equal(await moment(), first)

    // The focus must stay on the same element when the page updates its contents.
    const before = await tab.evaluate<string>(textOf('#about'))
    await tab.until(`${textOf('#about')} !== ${JSON.stringify(before)}`, 'something new')
    assert.equal(await focused(), reached.at(-1))
    await tabTo('Metrics')
    await tabTo('Copy')
    await tab.press('Enter', 13)
    await tab.until(`/Copied|Selected/.test(document.activeElement.textContent)`)
    assertQuiet(tab, exporter)
  })

  test('with several servers, the status page lists them and links to a page for each server', async (t) => {
    const { prosody, tab } = await setUp(t, '13.0.1')
    const file = join(prosody.dir, 'exporter.yml')
    const gone = await freePort()
    writeFileSync(join(prosody.dir, 'secret'), prosody.secret, { mode: 0o600 })
    const server = (name: string, domain: string, service: string) =>
      `  - { name: ${name}, domain: ${domain}, service: '${service}', secret_file: secret }`
    writeFileSync(
      file,
      [
        'servers:',
        server('here&there', prosody.statsDomains[1]!, prosody.service),
        server('gone', 'stats.gone.example', `xmpp://127.0.0.1:${gone}`),
        'page: { interval: 1s }',
      ].join('\n'),
    )
    // The servers come from the configuration file, so the test starts the exporter without flags for a server.
    const exporter = await withExporter(t, {
      flags: [`--config.file=${file}`],
      env: FAST,
    })
    await tab.resize(360)
    await tab.open(`${exporter.url}/`)
    await tab.until(has('h1', '1 of 2 servers are up'))
    await tab.until(has('#servers', 'gone – not connected: Cannot connect to Prosody'))
    assert.deepEqual(await findAccessibilityProblems(tab), [])
    assert.equal(await tab.evaluate('document.documentElement.scrollWidth > innerWidth'), false)
    await tab.evaluate(`document.querySelector('#servers a').click()`)
    await tab.until(has('h1', 'Prosody is up'))
    await tab.until(`document.querySelectorAll('canvas').length >= 1`)
    await tab.until(has('#link', 'Live'))
    assertQuiet(tab, exporter)
  })
})
