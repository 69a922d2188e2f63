/** Runs a scenario against a real Prosody, with our whole program in this process, and judges it. */

import assert from 'node:assert/strict'
import { connect } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import { createExporter } from '../../../src/exporter.js'
import { COLLECTORS } from '../../../src/collectors/index.js'
import type { Log } from '../../../src/log/log.js'
import { freePort, until } from '../../support/setup/process.js'
import { configOf } from '../../support/config.js'
import { httpGet } from '../../support/exporter.js'
import type { TestProsody } from '../../support/prosody.js'
import { evalLua } from '../../support/real.js'
import { fairNow } from '../../support/fair-clock.js'
import { judge, type Verdict } from './judge.js'
import { startProxy, type Proxy } from './proxy.js'
import { createRandom } from '../../support/random.js'
import type { Scenario, Trouble } from './scenarios.js'
import { encryption } from './tls.js'

/** The product's promise: right again this long after the trouble's end. */
const RECOVERY_MS = 5000
const SCRAPE_TIMEOUT_S = 1
const MARGIN_MS = 2000

const FIGURES = {
  ...{ cpuSeconds: 0, residentMemoryBytes: 0, startTimeSeconds: 0 },
  ...{ openFds: undefined, maxFds: undefined },
}

export type Outcome = { readonly recoveredMs: number; readonly scrapes: number }

/** @throws AssertionError that names what did not hold. */
export async function runScenario(
  scenario: Scenario,
  prosody: TestProsody,
  domain: string,
): Promise<Outcome> {
  const random = createRandom(scenario.seed)
  const xmpp = await startProxy(prosody.ports.component, random)
  const port = await freePort()
  const http = await startProxy(port, random)
  const epochs = new Set([await epochOf(prosody)])
  const log: Log = { debug() {}, info() {}, warn() {}, error() {} }
  const flags = [
    `--xmpp.service=xmpp://127.0.0.1:${xmpp.port}`,
    `--xmpp.domain=${domain}`,
    `--web.listen-address=127.0.0.1:${port}`,
    ...(scenario.tls ? [`--web.config.file=${(await encryption()).configFile}`] : []),
    ...COLLECTORS.filter(({ name }) => name !== 'registry').map(
      ({ name }) => `--no-collector.${name}`,
    ),
  ]
  const env = {
    PROSODY_EXPORTER_XMPP_SECRET: prosody.secret,
    PROSODY_EXPORTER_COLLECTION_MIN_AGE: '0ms',
    PROSODY_EXPORTER_PAGE_INTERVAL: '0',
  }
  const config = configOf(flags, env)
  const bridge = createExporter(config, {
    log,
    version: '0',
    readProcessUsage: () => FIGURES,
    umask: () => 0o022,
    readConfig: () => Promise.resolve(config),
    owner: { env: {}, uid: undefined },
    pid: process.pid,
  })

  const changesBytes = ({ fault }: Trouble) => fault.kind === 'corrupt'
  // From then on what is in the store may be what the proxy made of it.
  const isTrue = !scenario.troubles.some((each) => each.where === 'xmpp' && changesBytes(each))
  let scrapes = 0
  const steps = new Map<number, number>()
  async function scrape(at = port): Promise<Verdict> {
    const ca = scenario.tls ? (await encryption()).ca : undefined
    const startedAt = fairNow()
    const headers = { 'X-Prometheus-Scrape-Timeout-Seconds': String(SCRAPE_TIMEOUT_S) }
    const url = `${scenario.tls ? 'https' : 'http'}://127.0.0.1:${at}/metrics`
    const { status, text } = await httpGet(url, headers, undefined, ca)
    if (at === port) {
      const tookMs = fairNow() - startedAt
      assert.ok(tookMs < SCRAPE_TIMEOUT_S * 1000 + MARGIN_MS, `answered after ${tookMs} ms`)
    }
    assert.equal(status, 200)
    scrapes++
    const verdict = judge(text, isTrue)
    if (verdict.epoch !== undefined && at === port) {
      const before = steps.get(verdict.epoch) ?? 0
      assert.ok(verdict.step! >= before, `step ${verdict.step} after ${before}`)
      steps.set(verdict.epoch, verdict.step!)
    }
    return verdict
  }
  /** A scraper behind the proxy gets what is right or, while there is trouble, nothing whole. */
  async function scrapeThroughProxy(): Promise<void> {
    const isChanged =
      !scenario.tls && scenario.troubles.some((each) => each.where === 'http' && changesBytes(each))
    const outcome = scrape(http.port).catch((error: unknown) => error)
    const result = await Promise.race([outcome, sleep(300)])
    if (result instanceof assert.AssertionError && !isChanged) throw result
  }

  const life = { isOver: false }
  try {
    for (const each of scenario.troubles.filter(({ when }) => when === 'dial')) begin(each)
    await bridge.start()
    const ends: Promise<unknown>[] = []
    for (const each of scenario.troubles) ends.push(trouble(each))
    // In this order: what is at rest has been right once, unless it never gets there.
    const scraping = (async () => {
      while (!life.isOver) {
        await scrape()
        if (scenario.troubles.some(({ where }) => where === 'http')) await scrapeThroughProxy()
        await sleep(20)
      }
    })()
    const done = (async () => {
      await Promise.all(ends)
      if (scenario.doing) await act(scenario.doing.what, scenario.doing.forMs)
    })()
    await Promise.race([done, scraping.then(() => done)])
    xmpp.heal()
    http.heal()
    const healedAt = fairNow()
    epochs.add(await epochOf(prosody))
    for (;;) {
      const { isRead } = await scrape()
      if (isRead) break
      const forMs = Math.round(fairNow() - healedAt)
      assert.ok(forMs < RECOVERY_MS, `not right ${forMs} ms after the trouble's end`)
      await sleep(20)
    }
    const recoveredMs = fairNow() - healedAt
    life.isOver = true
    await scraping
    // Whoever comes now through what was broken is served.
    await until(async () => (await scrape(http.port)).up, { what: 'a scraper is served' })
    // It speaks of now, and of nothing that never was.
    const [epoch, step] = await Promise.all([epochOf(prosody), stepOf(prosody)])
    if (isTrue) {
      assert.deepEqual([...steps.keys()].at(-1), epoch)
      assert.deepEqual(
        [...steps.keys()].filter((each) => !epochs.has(each)),
        [],
      )
      assert.ok(steps.get(epoch)! <= step)
    }
    await bridge.stop(500)
    await until(() => xmpp.connections() === 0, { what: 'no stream is left' })
    await assert.rejects(dial(port), 'still listens')
    return { recoveredMs, scrapes }
  } finally {
    life.isOver = true
    await bridge.stop(0)
    await xmpp.stop()
    await http.stop()
  }

  function begin({ where, fault, direction }: Trouble): void {
    proxyOf(where).begin(fault, direction)
  }
  function proxyOf(where: Trouble['where']): Proxy {
    return where === 'xmpp' ? xmpp : http
  }
  async function trouble(each: Trouble): Promise<void> {
    if (each.when !== 'dial') {
      // It may never come to rest: another trouble began with the dialling.
      await Promise.race([upOnce(), sleep(1500)])
      if (each.when !== 'rest') {
        const { afterBytes, of } = each.when
        if (of === 'stream') xmpp.begin({ kind: 'reset' }, 'up')
        await Promise.race([xmpp.passed('down', afterBytes), sleep(4000)])
      }
      begin(each)
    }
    await sleep(each.forMs)
  }
  async function upOnce(): Promise<void> {
    while (steps.size === 0 && !life.isOver) await sleep(10)
  }
  async function act(what: NonNullable<Scenario['doing']>['what'], forMs: number): Promise<void> {
    await Promise.race([upOnce(), sleep(1500)])
    switch (what) {
      case 'freeze':
        prosody.kill('SIGSTOP')
        await sleep(forMs)
        prosody.kill('SIGCONT')
        break
      case 'kill':
      case 'restart': {
        if (what === 'kill') prosody.kill('SIGKILL')
        await sleep(forMs)
        await prosody.restart()
        epochs.add(await epochOf(prosody))
        break
      }
      case 'change secret': {
        const set = (secret: string) =>
          `require "core.configmanager".set("${domain}", "component_secret", "${secret}")`
        await evalLua(prosody, set('another'))
        xmpp.begin({ kind: 'reset' }, 'up')
        await sleep(forMs)
        await evalLua(prosody, set(prosody.secret))
        break
      }
      case 'reload module':
      case 'unload module': {
        const lua = (verb: string) =>
          `require "core.modulemanager".${verb}("${domain}", "adhoc_statistics")`
        if (what === 'reload module') await evalLua(prosody, lua('reload'))
        else {
          await evalLua(prosody, lua('unload'))
          await sleep(forMs)
          await evalLua(prosody, lua('load'))
        }
        break
      }
    }
  }
}

const epochOf = async (prosody: TestProsody) =>
  Number(await evalLua(prosody, 'return prosody.test_faults.epoch'))
const stepOf = async (prosody: TestProsody) =>
  Number(await evalLua(prosody, 'return prosody.test_faults.step or 0'))

function dial(port: number): Promise<void> {
  return new Promise((resolve, reject) => {
    const socket = connect(port, '127.0.0.1', () => {
      socket.destroy()
      resolve()
    })
    socket.on('error', reject)
  })
}
