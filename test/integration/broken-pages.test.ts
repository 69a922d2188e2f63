/** The status page names the cause of each broken set-up without scrolling, on a large and on a small screen. */

import assert from 'node:assert/strict'
import { chmod, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, test, type TestContext } from 'node:test'
import { BROKEN_SETUPS, type Fault } from '../support/broken-setups.js'
import { findAccessibilityProblems, shareChromium, type Tab } from '../support/chromium.js'
import { runExporter } from '../support/exporter.js'
import { prosodyVersions, withProsody } from '../support/prosody.js'
import { freePort, until } from '../support/setup/process.js'

const SCREENS = [
  [1280, 720],
  [360, 640],
] as const

/** Starts an exporter, and waits until it listens. Does not use HTTP, because one fault is of the certificate. */
async function startExporter(t: TestContext, { flags, env, script }: Fault) {
  const exporter = runExporter({
    flags: [`--web.listen-address=127.0.0.1:${await freePort()}`, ...flags],
    env: { PROSODY_EXPORTER_PAGE_INTERVAL: '1s', ...env },
    ...(script !== undefined && { script }),
  })
  t.after(() => exporter.stop())
  const url = await until(
    () => {
      if (!exporter.running()) throw new Error(`the exporter ended: ${exporter.stderr().trim()}`)
      return /\blistening\b.*\baddress="?([^\s"]+)/.exec(exporter.stderr())?.[1]
    },
    { what: 'the exporter listens' },
  )
  return { ...exporter, url }
}

/**
 * JavaScript that returns whether the reader sees all lines of a text without scrolling. The text is that of an element
 * that matches and has no child that matches.
 */
const isVisible = (expected: RegExp) => `(() => {
  const matches = (element) => ${String(expected)}.test(element.innerText ?? '')
  const isLineVisible = (element, { left, right, top, bottom }) =>
    left >= 0 && top >= 0 && right <= innerWidth && bottom <= innerHeight &&
    element.contains(document.elementFromPoint((left + right) / 2, (top + bottom) / 2))
  return [...document.querySelectorAll('body *')]
    .filter((element) => matches(element) && ![...element.children].some(matches))
    .some((element) => {
      const range = document.createRange()
      range.selectNodeContents(element)
      const lines = [...range.getClientRects()].filter(({ width, height }) => width > 0 && height > 0)
      return lines.length > 0 && lines.every((line) => isLineVisible(element, line))
    })
})()`

/** Asserts that the page shows the text without scrolling on each screen, that it fits, and that it is accessible. */
async function assertVisible(tab: Tab, expected: RegExp): Promise<void> {
  for (const [width, height] of SCREENS) {
    await tab.resize(width, height)
    const where = `${width}×${height}`
    await tab.until(isVisible(expected), `${String(expected)} at ${where}`)
    // The charts adapt to the new width after a moment.
    await tab.until(
      'document.documentElement.scrollWidth <= innerWidth',
      `no scrolling at ${where}`,
    )
    assert.equal(await tab.evaluate('scrollY'), 0)
    assert.deepEqual(await findAccessibilityProblems(tab), [], where)
  }
}

describe('the page names the problem without scrolling', { concurrency: 2 }, () => {
  const openTab = shareChromium()

  for (const { name, start, expected, isRunnable } of BROKEN_SETUPS) {
    if (!isRunnable) continue
    test(name, async (t) => {
      const fault = await start(t)
      const exporter = await startExporter(t, fault)
      const tab = await openTab()
      await tab.cdp.Security.setIgnoreCertificateErrors({ ignore: true })
      await tab.open(`${exporter.url}/`)
      const title = (text: string) => `document.querySelector('h1').innerText.includes('${text}')`
      if (fault.cause) {
        await tab.until(title('Prosody is up'))
        await fault.cause()
      }
      // The exporter evicts the other one, too, so the page has to name the problem while the exporter is connected.
      if (name.includes('second exporter')) await tab.until(title('up, but a second exporter'))
      await assertVisible(tab, expected)
    })
  }

  test('the secret file becomes unreadable, and the configuration is reloaded', async (t) => {
    const setup = BROKEN_SETUPS.find(({ name }) => name === 'the secret file is unreadable')!
    const { flags, env, script } = await setup.start(t)
    const valueOf = (name: string) =>
      flags.find((flag) => flag.startsWith(`--${name}=`))!.replace(/^[^=]*=/, '')
    const file = valueOf('xmpp.secret-file')
    await chmod(file, 0o600)
    const config = join(file, '..', 'exporter.yml')
    const server = {
      ...{ name: 'main', service: valueOf('xmpp.service'), domain: valueOf('xmpp.domain') },
      secret_file: file,
    }
    // JSON is YAML.
    await writeFile(config, JSON.stringify({ servers: [server] }))
    const directory = env['XDG_RUNTIME_DIR']!
    const fault = { flags: [`--config.file=${config}`], env: { XDG_RUNTIME_DIR: directory } }
    const exporter = await startExporter(t, script === undefined ? fault : { ...fault, script })
    const tab = await openTab()
    await tab.open(`${exporter.url}/`)
    await tab.until(`document.querySelector('h1').innerText.includes('Prosody is up')`)
    await chmod(file, 0o000)
    exporter.kill('SIGHUP')
    await assertVisible(tab, setup.expected)
    const text = await tab.evaluate<string>('document.body.innerText')
    assert.match(text, /Prosody is up/)
    assert.ok(!text.includes(file), 'the page masks the values that a message quotes')
    await chmod(file, 0o600)
    exporter.kill('SIGHUP')
    await tab.until(`document.querySelector('#notices').innerText === ''`)
  })

  test('the web configuration file becomes invalid', async (t) => {
    const prosody = await withProsody(t, { version: prosodyVersions[1] })
    const file = join(prosody.dir, 'web.yml')
    await writeFile(file, 'http_server_config: { http2: false }\n')
    const exporter = await startExporter(t, {
      flags: [
        `--xmpp.service=${prosody.service}`,
        `--xmpp.domain=${prosody.statsDomains[0]}`,
        `--web.config.file=${file}`,
      ],
      env: { PROSODY_EXPORTER_XMPP_SECRET: prosody.secret },
    })
    const tab = await openTab()
    await tab.open(`${exporter.url}/`)
    await tab.until(`document.querySelector('h1').innerText.includes('Prosody is up')`)
    await writeFile(file, 'http_server_config: { http2: "xyzzy" }\n')
    await until(
      async () => {
        // The exporter reads a changed file when a request arrives.
        await tab.open(`${exporter.url}/`)
        return tab.evaluate<boolean>(`document.querySelector('#notices').innerText !== ''`)
      },
      { what: 'the page has a notice' },
    )
    await assertVisible(tab, /reload of the web configuration file failed.*http2/)
    assert.doesNotMatch(await tab.evaluate<string>('document.body.innerText'), /xyzzy/)
  })
})
