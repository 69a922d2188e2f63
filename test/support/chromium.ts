/** A real browser, asked through the DevTools protocol. */

import CDP from 'chrome-remote-interface'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { TestContext } from 'node:test'
import { findChromium } from './setup/programs.js'
import { launch, temporaryDirectory, until } from './setup/process.js'

export type Tab = {
  readonly cdp: CDP.Client
  /** The value of an expression in the page, promises awaited. */
  evaluate<T>(expression: string): Promise<T>
  open(url: string): Promise<void>
  /** Waits until the expression is true in the page. */
  until(expression: string, what?: string): Promise<void>
  /** As a screen of that width shows it. */
  resize(width: number, height?: number): Promise<void>
  /** Whether the page is to be dark. */
  dark(isDark: boolean): Promise<void>
  press(key: string, code?: number): Promise<void>
  screenshot(full?: boolean): Promise<Buffer>
  /** What the console said and the page threw, so far. */
  readonly complaints: string[]
  /** What was asked for, with the bytes that came over the wire. */
  readonly requests: { url: string; id: string; bytes: number }[]
}

/** A browser that ends with the test, and what opens a tab in it. */
export async function withChromium(t: Pick<TestContext, 'after'>): Promise<() => Promise<Tab>> {
  const { command, env, fonts } = await findChromium()
  const profile = await temporaryDirectory('prosody-exporter-chromium')
  // The same letters on every machine, and pictures that can be compared.
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
      // It is to talk to nobody but us.
      ...['--disable-background-networking', '--disable-component-update', '--disable-sync'],
      // A tab that another one covers goes on as if it were seen.
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
  const complaints: string[] = []
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
  cdp.on('Log.entryAdded', ({ entry }) => complaints.push(`${entry.level}: ${entry.text}`))
  cdp.on('Runtime.consoleAPICalled', ({ type }) => complaints.push(`console.${type}`))
  cdp.on('Runtime.exceptionThrown', ({ exceptionDetails }) =>
    complaints.push(exceptionDetails.exception?.description ?? exceptionDetails.text),
  )
  await Promise.all([
    cdp.Page.enable(),
    cdp.Network.enable({}),
    cdp.Log.enable(),
    cdp.Runtime.enable(),
  ])

  await cdp.Emulation.setFocusEmulationEnabled({ enabled: true })

  const evaluate: Tab['evaluate'] = async <T>(expression: string) => {
    const { result, exceptionDetails } = await cdp.Runtime.evaluate({
      expression,
      awaitPromise: true,
      returnByValue: true,
    })
    if (exceptionDetails) throw new Error(exceptionDetails.exception?.description ?? expression)
    return result.value as T
  }
  return {
    cdp,
    complaints,
    requests,
    evaluate,
    async open(url) {
      const loaded = new Promise((resolve) => {
        cdp.on('Page.loadEventFired', resolve)
      })
      await cdp.Page.navigate({ url })
      await loaded
    },
    until: async (expression, what = expression) => {
      try {
        await until(() => evaluate<boolean>(expression), { what })
      } catch (error) {
        const text = await evaluate<string>('document.body.innerText')
        throw new Error(`${what} is not so on the page, which says:\n${text}`, { cause: error })
      }
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
      const given = { key, code: key, windowsVirtualKeyCode: code, ...text }
      await cdp.Input.dispatchKeyEvent({ type: 'keyDown', ...given })
      await cdp.Input.dispatchKeyEvent({ type: 'keyUp', ...given })
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
