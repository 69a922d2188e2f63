/**
 * Provokes each problem that the status page lists below "Needs attention" on a real Prosody, and checks in a real
 * Chromium that the page shows the problem, and no longer shows it after the cause is gone.
 */

import xml from '@xmpp/xml'
import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { once } from 'node:events'
import { mkdir, rename, writeFile } from 'node:fs/promises'
import { connect } from 'node:net'
import { join } from 'node:path'
import { describe, test, type TestContext } from 'node:test'
import { getHistoryPath } from '../../src/history/state-directory.js'
import { findAccessibilityProblems, shareChromium, type Tab } from '../support/chromium.js'
import { withExporter, withExporterFor } from '../support/exporter.js'
import { openssl } from '../support/openssl.js'
import { withProsody, type ProsodyConfig, type TestProsody } from '../support/prosody.js'
import { evalLua, reloadModule, untilReady } from '../support/real.js'
import { writeSyntheticHistory } from '../support/synthetic-history.js'
import { temporaryDirectory } from '../support/setup/process.js'
import { authenticate, login, LoginError } from '../support/xmpp-client.js'

const HOST = 'one.example'
const USER = `juliet@${HOST}`
const PASSWORD = 'pw'
const FAST = { PROSODY_EXPORTER_PAGE_INTERVAL: '1s' }
/** How often the test repeats the cause of a problem before it gives up. */
const MAX_REPETITIONS = 50
/** The number of logins or connections in one repetition. */
const BATCH = 15

const textOf = (selector: string) =>
  `(document.querySelector('${selector}')?.innerText ?? '').replace(/\\s+/g, ' ')`
const matches = (expected: RegExp, selector = '#attention') =>
  `${String(expected)}.test(${textOf(selector)})`
const CALM = /^Nothing needs attention\.$/
/** On a busy machine, the event loop of Prosody can really be slow. So only the test of this problem measures it. */
const WITHOUT_LAG = { registry: { drop: [{ family: 'xmpp_loop_lag.*' }] } }

/** Waits until the page shows the next collection. */
async function untilUpdated(tab: Tab): Promise<void> {
  const before = await tab.evaluate<string>(textOf('#about'))
  await tab.until(`${textOf('#about')} !== ${JSON.stringify(before)}`, 'the next collection')
}

const repeat = (act: () => Promise<unknown>) => Promise.all(Array.from({ length: BATCH }, act))

/** Repeats the cause of a problem, or what ends it, until the page shows the expected text. */
async function repeatUntil(tab: Tab, expected: RegExp, act: () => Promise<unknown>): Promise<void> {
  for (let i = 0; i < MAX_REPETITIONS; i++) {
    if (await tab.evaluate<boolean>(matches(expected))) return
    await act()
    await untilUpdated(tab)
  }
  await tab.until(matches(expected), String(expected))
}

/** Asserts that the reader sees the first entry without scrolling on the screen of a phone, and that it is accessible. */
async function assertReadable(tab: Tab): Promise<void> {
  await tab.dark(true)
  await tab.resize(360, 640)
  await tab.until('document.documentElement.scrollWidth <= innerWidth', 'no horizontal scrolling')
  const bottom = `document.querySelector('#attention b').getBoundingClientRect().bottom`
  assert.ok((await tab.evaluate<number>(bottom)) <= 640, 'the cause is visible without scrolling')
  assert.deepEqual(await findAccessibilityProblems(tab), [])
  await tab.dark(false)
  await tab.resize(1280, 720)
}

type PageOptions = { readonly flags?: readonly string[]; readonly settings?: object }

describe('the status page lists what needs attention', { concurrency: 2 }, () => {
  const openTab = shareChromium()

  async function openPage(
    t: TestContext,
    prosody: TestProsody,
    { flags = [], settings = WITHOUT_LAG }: PageOptions = {},
  ): Promise<Tab> {
    const file = join(prosody.dir, 'exporter.yml')
    // JSON is YAML.
    await writeFile(file, JSON.stringify(settings))
    const exporter = await withExporterFor(t, prosody, {
      ...{ stock: true, env: FAST },
      flags: [`--config.file=${file}`, ...flags],
    })
    await untilReady(exporter, 200)
    const tab = await openTab()
    await tab.open(`${exporter.url}/`)
    return tab
  }

  /** Starts Prosody and the exporter, and waits until the page says that nothing needs attention. */
  async function setUp(t: TestContext, config: ProsodyConfig = {}, options?: PageOptions) {
    const prosody = await withProsody(t, {
      version: '13.0.1',
      users: { [USER]: PASSWORD },
      ...config,
      modules: ['test_eval', ...(config.modules ?? [])],
    })
    const tab = await openPage(t, prosody, options)
    await tab.until(matches(CALM), 'nothing needs attention')
    return { prosody, tab, port: prosody.ports.c2s }
  }

  const succeed = async (port: number) =>
    (await authenticate({ port, jid: USER, password: PASSWORD })).close()

  test('failed logins, until more logins succeed', async (t) => {
    const { tab, port } = await setUp(t)
    const fail = () => assert.rejects(authenticate({ port, jid: USER, password: 'no' }), LoginError)
    // One mistyped password is no problem.
    await fail()
    const failed = `[...document.querySelectorAll('#legend-logins tr')]
      .some((row) => /^Failed.*[1-9]/.test(row.innerText.replace(/\\s+/g, ' ')))`
    await tab.until(failed, 'the failed login')
    assert.ok(await tab.evaluate<boolean>(matches(CALM)))
    await repeatUntil(tab, /\d+ logins per minute fail on one\.example, and 0 succeed\./, () =>
      repeat(fail),
    )
    await tab.until(matches(/^Prosody is up, with 1 problem$/, 'h1'))
    await assertReadable(tab)
    await repeatUntil(tab, CALM, () => repeat(() => succeed(port)))
  })

  test('a flood of connections without a login, until more clients log in', async (t) => {
    const { tab, port } = await setUp(t)
    const open = async () => {
      const socket = connect(port, '127.0.0.1')
      await once(socket, 'connect')
      socket.write(`<stream:stream xmlns='jabber:client' to='${HOST}'
        xmlns:stream='http://etherx.jabber.org/streams' version='1.0'>`)
      await once(socket, 'data')
      socket.destroy()
    }
    await repeatUntil(tab, /\d+ connections per minute from clients end without a login\./, () =>
      repeat(open),
    )
    await assertReadable(tab)
    await repeatUntil(tab, CALM, () => repeat(() => succeed(port)))
  })

  test('few file descriptors, until the limit is raised', async (t) => {
    const { prosody, tab } = await setUp(t)
    // The module reads the limit when it starts, and then once a minute.
    const reload = () => reloadModule(prosody, prosody.statsDomains[0]!)
    // Sets the soft limit, which needs no rights.
    const limit = (files: number) => {
      execFileSync('prlimit', [`--pid=${prosody.pid}`, `--nofile=${files}:`])
      return reload()
    }
    await evalLua(
      prosody,
      'open_files = {} for i = 1, 200 do open_files[i] = assert(io.open("/dev/null")) end',
    )
    const USED = /Prosody uses (\d+) of \d+ file descriptors\./
    await limit(240)
    await tab.until(matches(/^Needs attention Warning: Prosody uses \d+ of 240 file descriptors\./))
    await assertReadable(tab)
    const used = Number(USED.exec(await tab.evaluate<string>(textOf('#attention')))![1])
    await limit(used + 5)
    await tab.until(matches(/Urgent: Prosody uses \d+ of \d+ file descriptors\./))
    await evalLua(prosody, 'for _, file in ipairs(open_files) do file:close() end')
    await reload()
    await tab.until(matches(CALM))
  })

  test('the growth of memory since the day before, until Prosody restarts', async (t) => {
    const { path, remove } = await temporaryDirectory('prosody-exporter-state')
    t.after(remove)
    const prosody = await withProsody(t, { version: '13.0.1', modules: ['test_eval'] })
    const domain = prosody.statsDomains[0]!
    await writeSyntheticHistory(getHistoryPath(path, domain), {
      ...{ server: domain, endMs: Date.now(), days: 2 },
      getValue: (track) => (track === 'memoryBytes' ? 20e6 : 0),
    })
    // Prosody says that it has run for two days.
    await evalLua(prosody, 'prosody.start_time = prosody.start_time - 2 * 86400')
    await evalLua(prosody, 'ballast = ("x"):rep(150 * 1024 * 1024)')
    const tab = await openPage(t, prosody, { flags: [`--state.directory=${path}`] })
    await tab.until(matches(/The memory of Prosody grew from 19 MB to \d+ MB in (1 day|23 hours)/))
    await assertReadable(tab)
    await prosody.restart()
    await tab.until(matches(CALM))
  })

  test('a slow event loop, until Prosody restarts without the slow module', async (t) => {
    const { prosody, tab } = await setUp(t, {}, { settings: {} })
    // Prosody measures the lag once per second, so each call delays one measurement by more than 0.5 s.
    const block = () =>
      evalLua(
        prosody,
        'local now = require "util.time".now local till = now() + 1.6 repeat until now() > till',
      )
    const expected = /Prosody was blocked for more than 0\.5 s at least \d+ times/
    await repeatUntil(tab, expected, block)
    await assertReadable(tab)
    await prosody.restart()
    await tab.until(`!${matches(expected)} && ${matches(/^Prosody is up/, 'h1')}`, 'no slow loop')
  })

  test('failed connections to other servers, until as many succeed', async (t) => {
    const withoutTls = { modules: ['test_dns'], globals: { modules_disabled: '{ "tls" }' } }
    const { prosody, tab, port } = await setUp(t, withoutTls)
    const user = await login({ port, jid: USER, password: PASSWORD })
    t.after(() => user.close())
    // Without test_dns_ports, each domain has the s2s port 1, which refuses connections.
    const hosts = Array.from({ length: 12 }, (_, i) => `far${i}.example`)
    const sendToAll = () => {
      for (const host of hosts) {
        user.send(xml('message', { to: `romeo@${host}`, type: 'chat' }, xml('body', {}, 'text')))
      }
    }
    sendToAll()
    await tab.until(
      matches(/12 of 12 connections from one\.example to other servers failed in the last 15/),
    )
    await assertReadable(tab)

    const far = await withProsody(t, {
      ...{ version: '13.0.1', hosts, statsDomains: [] },
      ...{ ...withoutTls, modules: ['test_dns', 'test_eval'] },
      components: [{ domain: 'stats.far.example', options: { component_secret: '"secret"' } }],
    })
    const setPorts = (server: TestProsody, names: readonly string[], to: number) =>
      evalLua(
        server,
        `prosody.test_dns_ports = { ${names.map((name) => `["${name}"] = ${to}`).join(', ')} }`,
      )
    await setPorts(far, [HOST], prosody.ports.s2s)
    await setPorts(prosody, hosts, far.ports.s2s)
    sendToAll()
    await tab.until(matches(CALM))
  })

  test('a collector that fails, until it succeeds', async (t) => {
    const prosody = await withProsody(t, { version: '13.0.1', modules: ['test_eval'] })
    const EVENT = 'iq-get/host/jabber:iq:version:query'
    await evalLua(
      prosody,
      `local st = require "util.stanza"
      function refuse_version(event)
        event.origin.send(st.error_reply(event.stanza, "wait", "internal-server-error", "no"))
        return true
      end
      module:context("${HOST}"):hook("${EVENT}", refuse_version, 1000)`,
    )
    const tab = await openPage(t, prosody)
    await tab.until(matches(/The collector version fails: .*internal-server-error/))
    await assertReadable(tab)
    await evalLua(
      prosody,
      `prosody.hosts["${HOST}"].events.remove_handler("${EVENT}", refuse_version)`,
    )
    await tab.until(matches(CALM))
  })

  test('a certificate that expires, and one that was renewed but not loaded, until Prosody reloads', async (t) => {
    const { path, remove } = await temporaryDirectory('prosody-exporter-certs')
    t.after(remove)
    const next = join(path, 'next')
    await mkdir(next)
    const create = (days: number) =>
      openssl([
        ...['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes'],
        ...['-subj', `/CN=${HOST}`, '-addext', `subjectAltName=DNS:${HOST}`, '-days', `${days}`],
        ...['-keyout', join(next, `${HOST}.key`), '-out', join(next, `${HOST}.crt`)],
      ])
    const install = async () => {
      for (const kind of ['key', 'crt'])
        await rename(join(next, `${HOST}.${kind}`), join(path, `${HOST}.${kind}`))
    }
    await create(9)
    await install()
    const prosody = await withProsody(t, {
      version: '13.0.1',
      globals: { certificates: JSON.stringify(path) },
    })
    const tab = await openPage(t, prosody)
    await tab.until(matches(/Warning: The certificate of one\.example expires in [89] days\./))
    await tab.until(matches(/[89] days/, '#values'))
    await assertReadable(tab)

    await create(90)
    await install()
    await tab.until(
      matches(/Prosody still uses the old certificate of one\.example, although its file was/),
    )
    await tab.until(matches(/with 2 problems/, 'h1'))
    await assertReadable(tab)
    prosody.kill('SIGHUP')
    await tab.until(matches(CALM))
    await tab.until(matches(/(89|90) days/, '#values'))

    await create(2)
    await install()
    prosody.kill('SIGHUP')
    await tab.until(matches(/Urgent: The certificate of one\.example expires in 4[78] hours\./))
    await tab.until(`document.querySelector('h1.red') !== null`)
    await assertReadable(tab)
  })

  for (const version of ['0.11.9', '0.12.3'] as const) {
    test(`Prosody ${version} is at its end of life`, async (t) => {
      const prosody = await withProsody(t, { version })
      const tab = await openPage(t, prosody)
      const expected = `^Needs attention Warning: Prosody ${version} is at its end of life\\.`
      await tab.until(matches(new RegExp(expected)))
      await assertReadable(tab)
    })
  }

  test('the overview shows the number of problems of each server, and the first cause', async (t) => {
    const old = await withProsody(t, { version: '0.12.3' })
    const current = await withProsody(t, { version: '13.0.1' })
    const file = join(old.dir, 'exporter.yml')
    await writeFile(join(old.dir, 'secret'), old.secret, { mode: 0o600 })
    const server = (name: string, { service, statsDomains }: TestProsody) => ({
      ...{ name, service, domain: statsDomains[0], secret_file: 'secret' },
    })
    const servers = [server('old', old), server('current', current)]
    // JSON is YAML.
    await writeFile(file, JSON.stringify({ servers, page: { interval: '1s' }, ...WITHOUT_LAG }))
    const exporter = await withExporter(t, { flags: [`--config.file=${file}`], env: FAST })
    const tab = await openTab()
    await tab.open(`${exporter.url}/`)
    await tab.until(matches(/^All 2 servers are up, 1 with a problem$/, 'h1'))
    await tab.until(
      matches(
        /old 0 ▲?up, 1 problem: Prosody 0\.12\.3 is at its end of life\. current 0/,
        '#servers',
      ),
    )
    assert.deepEqual(await findAccessibilityProblems(tab), [])
  })

  test('an idle server has no traffic, because the requests of the exporter are not counted', async (t) => {
    const { tab } = await setUp(t)
    await tab.until(`${textOf('#legend-stanzas')}.includes('Requests (IQ) 0 0 0')`)
    await untilUpdated(tab)
    assert.match(await tab.evaluate<string>(textOf('#legend-stanzas')), /Requests \(IQ\) 0 0 0/)
    assert.match(await tab.evaluate<string>(textOf('#values')), /Messages per minute ?0|0 Messages/)
  })
})
