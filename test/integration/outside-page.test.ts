// Tests in a real Chromium how the status page shows checks from outside: with all their texts, and with changes.

import assert from 'node:assert/strict'
import { describe, test, type TestContext } from 'node:test'
import { createHistory } from '../../src/history/history.js'
import { listen } from '../../src/http/listener.js'
import type { DomainCheck } from '../../src/outside/outside-check.js'
import { createOutsideSection } from '../../src/page/outside-section.js'
import type { PageServer } from '../../src/page/page.js'
import { findAccessibilityProblems, shareChromium, type Tab } from '../support/chromium.js'
import { createEndpoint, createEndpointCheck, FAULTY, HEALTHY } from '../support/outside-checks.js'
import { createPageServer, createTestPage, createUpSummary } from '../support/status-page.js'

const ignore = () => undefined
const LOG = { debug: ignore, info: ignore, warn: ignore, error: ignore }

const textOf = (selector: string) =>
  `(document.querySelector(${JSON.stringify(selector)})?.innerText ?? '').replace(/\\s+/g, ' ')`
const has = (selector: string, text: string) =>
  `${textOf(selector)}.includes(${JSON.stringify(text)})`

async function startPage(
  t: TestContext,
  servers: readonly PageServer[],
  getChecks: () => readonly DomainCheck[],
) {
  const { app, page } = createTestPage(servers, createOutsideSection(getChecks))
  const address = { host: '127.0.0.1', port: 0, optional: false }
  const listener = await listen(app, [address], LOG, {})
  t.after(async () => {
    page.close()
    await listener.close(0)
  })
  return { url: `${listener.urls[0]!}/`, notify: page.notify }
}

/** Asserts that the page fits on a phone and a screen, is accessible in both modes, and logs nothing. */
async function assertReadable(tab: Tab): Promise<void> {
  for (const [isDark, width] of [
    [true, 360],
    [false, 1280],
  ] as const) {
    await tab.dark(isDark)
    await tab.resize(width)
    await tab.until('document.documentElement.scrollWidth <= innerWidth', 'no horizontal scrolling')
    assert.deepEqual(await findAccessibilityProblems(tab), [])
  }
  assert.deepEqual(tab.complaints, [])
}

describe('checks from outside on the status page in Chromium', () => {
  const openTab = shareChromium()

  test('the page of a server shows the problems of its domain, until they are solved', async (t) => {
    const history = createHistory({ intervalMs: 15_000 })
    history.add(createUpSummary(Date.now()))
    let checks: readonly DomainCheck[] = []
    const { url, notify } = await startPage(t, [createPageServer(history)], () => checks)
    const tab = await openTab()
    await tab.open(url)
    await tab.until(has('#outside', 'The first check has not ended yet.'))
    await tab.until(has('#link', 'Live'))

    const target = `${'long-name-'.repeat(12)}.example.org`
    const evil = createEndpointCheck(createEndpoint('bosh', 'ipv6', target), ['stream_error'], {
      problems: [{ code: 'stream_error', service: 'bosh', detail: '<img src=x onerror=alert(1)>' }],
    })
    checks = [{ ...FAULTY, endpoints: [...FAULTY.endpoints, evil] }]
    notify()
    await tab.until(has('#attention', 'old.example.org'))
    await tab.until(has('#outside', 'connection_timeout'))
    await tab.until(has('#outside', '<img src=x onerror=alert(1)>'))
    assert.equal(await tab.evaluate(`document.querySelectorAll('main img').length`), 0)
    await assertReadable(tab)

    checks = [HEALTHY]
    notify()
    await tab.until(has('#attention', 'Nothing needs attention.'))
    await tab.until(`!${has('#outside', 'connection_timeout')}`)
    await assertReadable(tab)
  })

  test('without servers, the page lists the domains, and a click shows what was found', async (t) => {
    const checks = ['a.example', 'b.example', 'c.example'].map((domain, i) => ({
      ...(i === 1 ? FAULTY : HEALTHY),
      domain,
    }))
    const { url, notify } = await startPage(t, [], () => checks)
    const tab = await openTab()
    await tab.open(url)
    await tab.until(has('h1', 'Problems with 1 of 3 domains'))
    await tab.until(has('#link', 'Live'))
    assert.match(await tab.evaluate(textOf('#outside')), /^From outside b\.example 9 problems/)
    assert.equal(await tab.evaluate(`document.querySelector('.servers').checkVisibility()`), false)
    await assertReadable(tab)

    const isShown = `document.querySelector('#outside .problems').checkVisibility()`
    assert.equal(await tab.evaluate(isShown), false)
    await tab.evaluate(`document.querySelector('#outside summary').click()`)
    assert.equal(await tab.evaluate(isShown), true)
    await assertReadable(tab)
    // An update does not close what the reader has opened.
    checks[2] = { ...checks[2]!, problems: [{ code: 'dns_slow' }] }
    notify()
    await tab.until(has('h1', 'Problems with 2 of 3 domains'))
    assert.equal(await tab.evaluate(isShown), true)
  })
})
