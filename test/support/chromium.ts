/** Runs a real browser for tests of the page, and controls it through the DevTools protocol. */

import CDP from 'chrome-remote-interface'
import { readFile, writeFile } from 'node:fs/promises'
import { createRequire } from 'node:module'
import { join } from 'node:path'
import { after, before, type TestContext } from 'node:test'
import { findChromium } from './setup/programs.js'
import { launch, temporaryDirectory, until } from './setup/process.js'

export type Tab = {
  readonly cdp: CDP.Client
  /** Evaluates a JavaScript expression in the page. If the result is a promise, awaits it. */
  evaluate<T>(expression: string): Promise<T>
  open(url: string): Promise<void>
  /**
   * Waits until a JavaScript expression is true in the page. `what` describes the expression in the error message.
   */
  until(expression: string, what?: string): Promise<void>
  /** Sets the size of the emulated screen, in CSS pixels. */
  resize(width: number, height?: number): Promise<void>
  /** Makes the browser report that the user prefers dark colors, or light colors. */
  dark(isDark: boolean): Promise<void>
  press(key: string, code?: number): Promise<void>
  screenshot(full?: boolean): Promise<Buffer>
  /** All console messages, log entries of the browser and JavaScript exceptions since the tab was opened. */
  readonly complaints: string[]
  /**
   * All requests of the page since the tab was opened. `bytes` is the number of received bytes before decompression.
   */
  readonly requests: { url: string; id: string; bytes: number }[]
}

const AXE = createRequire(import.meta.url).resolve('axe-core/axe.min.js')

/** Returns the accessibility problems that the program axe finds in the page, as text. */
export async function findAccessibilityProblems(tab: Tab): Promise<string[]> {
  await tab.evaluate(await readFile(AXE, 'utf8'))
  return await tab.evaluate(
    `axe.run().then(({ violations }) => violations.map(({ id, nodes }) =>
      id + ': ' + nodes.map(({ html, failureSummary }) => html + ' ' + failureSummary).join('; ')))`,
  )
}

/** Starts a browser that stops after the test. Returns a function that opens a tab. */
export async function withChromium(t: Pick<TestContext, 'after'>): Promise<() => Promise<Tab>> {
  const { command, env, fonts } = await findChromium()
  const profile = await temporaryDirectory('prosody-exporter-chromium')
  // The browser uses fonts from a Debian package, so that screenshots of different machines are comparable.
  const fontconfig = join(profile.path, 'fonts.conf')
  await writeFile(
    fontconfig,
    `<fontconfig><dir>${fonts}</dir><cachedir>${profile.path}/fonts</cachedir>
    <alias><family>sans-serif</family><prefer><family>Inter</family></prefer></alias>
    <alias><family>system-ui</family><prefer><family>Inter</family></prefer></alias>
    <alias><family>monospace</family><prefer><family>DejaVu Sans Mono</family></prefer></alias>
    </fontconfig>`,
  )
  const child = launch(
    command,
    [
      ...['--headless', '--no-sandbox', '--disable-gpu', '--disable-dev-shm-usage'],
      // This prevents connections of the browser to other servers.
      ...['--disable-background-networking', '--disable-component-update', '--disable-sync'],
      // These flags keep the timers of a tab running while another tab is in front of it.
      ...['--disable-backgrounding-occluded-windows', '--disable-renderer-backgrounding'],
      ...['--no-first-run', '--no-default-browser-check', '--hide-scrollbars'],
      ...[`--user-data-dir=${profile.path}`, '--remote-debugging-port=0', 'about:blank'],
    ],
    { env: { ...env, HOME: profile.path, FONTCONFIG_FILE: fontconfig, TZ: 'UTC' } },
  )
  t.after(async () => {
    await child.stop()
    await profile.remove()
  })
  const port = await until(
    () => {
      if (!child.running()) throw new Error(`Chromium ended: ${child.stderr().trim()}`)
      return /DevTools listening on ws:\/\/[^:]+:(\d+)\//.exec(child.stderr())?.[1]
    },
    { what: 'Chromium listens' },
  )
  return () => openTab(t, Number(port))
}

async function openTab(t: Pick<TestContext, 'after'>, port: number): Promise<Tab> {
  const target = await CDP.New({ port, host: '127.0.0.1' })
  const cdp = await CDP({ port, host: '127.0.0.1', target })
  t.after(() => cdp.close())
  const complaints = recordComplaints(cdp)
  const requests = recordRequests(cdp)
  await Promise.all([
    cdp.Page.enable(),
    cdp.Network.enable({}),
    cdp.Log.enable(),
    cdp.Runtime.enable(),
  ])
  await cdp.Emulation.setFocusEmulationEnabled({ enabled: true })
  const evaluate: Tab['evaluate'] = (expression) => evaluateIn(cdp, expression)
  return {
    cdp,
    complaints,
    requests,
    evaluate,
    until: async (expression, what = expression) => {
      try {
        await until(() => evaluate<boolean>(expression), { what })
      } catch (error) {
        const text = await evaluate<string>('document.body.innerText')
        throw new Error(`The page does not show: ${what}. Its text:\n${text}`, { cause: error })
      }
    },
    ...inputAndOutputOf(cdp),
  }
}

/** Adds console messages, log entries of the browser and JavaScript exceptions of the page to `complaints`. */
function recordComplaints(cdp: CDP.Client): string[] {
  const complaints: string[] = []
  cdp.on('Log.entryAdded', ({ entry }) => complaints.push(`${entry.level}: ${entry.text}`))
  cdp.on('Runtime.consoleAPICalled', ({ type }) => complaints.push(`console.${type}`))
  cdp.on('Runtime.exceptionThrown', ({ exceptionDetails }) =>
    complaints.push(exceptionDetails.exception?.description ?? exceptionDetails.text),
  )
  return complaints
}

function recordRequests(cdp: CDP.Client): Tab['requests'] {
  const requests: Tab['requests'] = []
  cdp.on('Network.requestWillBeSent', ({ request, requestId }) => {
    requests.push({ url: request.url, id: requestId, bytes: 0 })
  })
  cdp.on('Network.dataReceived', ({ requestId, encodedDataLength }) => {
    const request = requests.find(({ id }) => id === requestId)
    if (request) request.bytes += encodedDataLength
  })
  cdp.on('Network.loadingFinished', ({ requestId, encodedDataLength }) => {
    const request = requests.find(({ id }) => id === requestId)
    if (request) request.bytes = encodedDataLength
  })
  return requests
}

async function evaluateIn<T>(cdp: CDP.Client, expression: string): Promise<T> {
  const { result, exceptionDetails } = await cdp.Runtime.evaluate({
    expression,
    awaitPromise: true,
    returnByValue: true,
  })
  if (exceptionDetails) throw new Error(exceptionDetails.exception?.description ?? expression)
  return result.value as T
}

/** Creates the functions for navigation, display settings, keys and screenshots of a tab. */
function inputAndOutputOf(
  cdp: CDP.Client,
): Pick<Tab, 'open' | 'resize' | 'dark' | 'press' | 'screenshot'> {
  return {
    async open(url) {
      const loaded = new Promise((resolve) => {
        cdp.on('Page.loadEventFired', resolve)
      })
      await cdp.Page.navigate({ url })
      await loaded
    },
    resize: (width, height = 900) =>
      cdp.Emulation.setDeviceMetricsOverride({
        width,
        height,
        deviceScaleFactor: 1,
        mobile: false,
      }),
    dark: (isDark) =>
      cdp.Emulation.setEmulatedMedia({
        features: [{ name: 'prefers-color-scheme', value: isDark ? 'dark' : 'light' }],
      }),
    async press(key, code = 0) {
      const text = key === 'Enter' ? { text: '\r' } : {}
      const event = { key, code: key, windowsVirtualKeyCode: code, ...text }
      await cdp.Input.dispatchKeyEvent({ type: 'keyDown', ...event })
      await cdp.Input.dispatchKeyEvent({ type: 'keyUp', ...event })
    },
    async screenshot(full = true) {
      const { data } = await cdp.Page.captureScreenshot({
        format: 'png',
        captureBeyondViewport: full,
      })
      return Buffer.from(data, 'base64')
    },
  }
}

/** Starts one Chromium for all tests of a `describe`. Returns a function that opens a tab in it. */
export function shareChromium(): () => Promise<Tab> {
  let openTab: () => Promise<Tab>
  const ends: (() => unknown)[] = []
  before(async () => {
    openTab = await withChromium({ after: (end) => ends.unshift(end as () => unknown) })
  })
  after(async () => {
    for (const end of ends) await end()
  })
  return () => openTab()
}
