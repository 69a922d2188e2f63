/** Runs a scenario against a real Prosody, with the whole exporter in this process, and checks each exposition. */

import assert from 'node:assert/strict'
import { connect } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import { createExporter, type Exporter } from '../../../src/exporter.js'
import { COLLECTORS } from '../../../src/collectors/index.js'
import type { Log } from '../../../src/log/log.js'
import { freePort, until } from '../../support/setup/process.js'
import { configOf } from '../../support/config.js'
import { httpGet } from '../../support/exporter.js'
import type { TestProsody } from '../../support/prosody.js'
import { evalLua } from '../../support/real.js'
import { fairNow } from '../../support/fair-clock.js'
import { judge, type Verdict } from './judge.js'
import { startProxy, type FaultyProxy } from './proxy.js'
import { createRandom } from '../../support/random.js'
import type { ProsodyChange, Scenario, Trouble } from './scenarios.js'
import { encryption } from './tls.js'

/** The exporter must return the values of Prosody again within 5 s after the last fault ended. */
const RECOVERY_MS = 5000
const SCRAPE_TIMEOUT_S = 1
const MARGIN_MS = 2000
/** Faults can prevent every complete scrape. So a scenario waits at most 1.5 s for the first complete scrape. */
const FIRST_SCRAPE_LIMIT_MS = 1500
const BYTES_LIMIT_MS = 4000

const FIGURES = {
  ...{ cpuSeconds: 0, residentMemoryBytes: 0, startTimeSeconds: 0 },
  ...{ openFds: undefined, maxFds: undefined },
}

export type Outcome = { readonly recoveredMs: number; readonly scrapes: number }

/** @throws AssertionError if an exposition is wrong, or if the exporter does not recover or does not stop. */
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
  const exporter = await createExporterFor(scenario, { prosody, domain, xmppPort: xmpp.port, port })
  const run = new ScenarioRun({ scenario, prosody, domain, port, exporter, xmpp, http, epochs })
  try {
    return await run.run()
  } finally {
    await run.stop()
  }
}

async function createExporterFor(
  scenario: Scenario,
  server: { prosody: TestProsody; domain: string; xmppPort: number; port: number },
): Promise<Exporter> {
  const flags = [
    `--xmpp.service=xmpp://127.0.0.1:${server.xmppPort}`,
    `--xmpp.domain=${server.domain}`,
    `--web.listen-address=127.0.0.1:${server.port}`,
    ...(scenario.tls ? [`--web.config.file=${(await encryption()).configFile}`] : []),
    ...COLLECTORS.filter(({ name }) => name !== 'registry').map(
      ({ name }) => `--no-collector.${name}`,
    ),
  ]
  const env = {
    PROSODY_EXPORTER_XMPP_SECRET: server.prosody.secret,
    PROSODY_EXPORTER_COLLECTION_MIN_AGE: '0ms',
    PROSODY_EXPORTER_PAGE_INTERVAL: '0',
  }
  const config = configOf(flags, env)
  const log: Log = { debug() {}, info() {}, warn() {}, error() {} }
  return createExporter(config, {
    log,
    version: '0',
    readProcessUsage: () => FIGURES,
    umask: () => 0o022,
    readConfig: () => Promise.resolve(config),
    owner: { env: {}, uid: undefined },
    pid: process.pid,
    directory: new URL('../../../src/', import.meta.url),
  })
}

const changesBytes = ({ fault }: Trouble) => fault.kind === 'corrupt'

type Setup = {
  readonly scenario: Scenario
  readonly prosody: TestProsody
  readonly domain: string
  /** The port of the exporter. The HTTP proxy, with its faults, has another port. */
  readonly port: number
  readonly exporter: Exporter
  readonly xmpp: FaultyProxy
  readonly http: FaultyProxy
  /** The epochs of all Prosody processes in this scenario so far. Each process has its own epoch. */
  readonly epochs: Set<number>
}

class ScenarioRun {
  private readonly setup: Setup
  /** Whether all values must be right. They need not be if the proxy corrupts bytes from Prosody. */
  private readonly isTrue: boolean
  private scrapes = 0
  /** The highest step in an exposition so far, for each epoch. The epochs are in the order in which they appeared. */
  private readonly steps = new Map<number, number>()
  private isOver = false

  constructor(setup: Setup) {
    this.setup = setup
    this.isTrue = !setup.scenario.troubles.some(
      (each) => each.where === 'xmpp' && changesBytes(each),
    )
  }

  async run(): Promise<Outcome> {
    const { scenario, exporter, http } = this.setup
    for (const each of scenario.troubles.filter(({ when }) => when === 'dial')) this.begin(each)
    await exporter.start()
    const troubles = scenario.troubles.map((each) => this.runTrouble(each))
    const scraping = this.scrapeUntilOver()
    const faults = this.awaitTroublesThenChangeProsody(troubles)
    // A wrong scrape ends the scenario immediately. Otherwise the scenario waits until all faults have ended.
    await Promise.race([faults, scraping.then(() => faults)])
    const recoveredMs = await this.recover()
    this.isOver = true
    await scraping
    // After the faults between scrapers and the exporter, a new scraper must get an exposition through the HTTP proxy.
    await until(async () => (await this.scrape(http.port)).up, {
      what: 'a scrape through the HTTP proxy returns xmpp_up 1',
    })
    await this.assertStepsAreCurrent()
    await this.assertExporterStops()
    return { recoveredMs, scrapes: this.scrapes }
  }

  async stop(): Promise<void> {
    this.isOver = true
    await this.setup.exporter.stop(0)
    await this.setup.xmpp.stop()
    await this.setup.http.stop()
  }

  private async scrape(port = this.setup.port): Promise<Verdict> {
    const { tls } = this.setup.scenario
    const isDirect = port === this.setup.port
    const ca = tls ? (await encryption()).ca : undefined
    const startedAt = fairNow()
    const headers = { 'X-Prometheus-Scrape-Timeout-Seconds': String(SCRAPE_TIMEOUT_S) }
    const url = `${tls ? 'https' : 'http'}://127.0.0.1:${port}/metrics`
    const { status, text } = await httpGet(url, headers, undefined, ca)
    if (isDirect) {
      const tookMs = fairNow() - startedAt
      assert.ok(
        tookMs < SCRAPE_TIMEOUT_S * 1000 + MARGIN_MS,
        `the exporter responded to a scrape after ${tookMs} ms`,
      )
    }
    assert.equal(status, 200)
    this.scrapes++
    const verdict = judge(text, this.isTrue)
    if (verdict.epoch !== undefined && isDirect) {
      const before = this.steps.get(verdict.epoch) ?? 0
      assert.ok(
        verdict.step! >= before,
        `the exposition has step ${verdict.step} of the values; an earlier one had step ${before}`,
      )
      this.steps.set(verdict.epoch, verdict.step!)
    }
    return verdict
  }

  /** Scrapes through the HTTP proxy. The exposition must be correct. During faults, the response may be incomplete. */
  private async scrapeThroughProxy(): Promise<void> {
    const { scenario, http } = this.setup
    const isChanged =
      !scenario.tls && scenario.troubles.some((each) => each.where === 'http' && changesBytes(each))
    const outcome = this.scrape(http.port).catch((error: unknown) => error)
    const result = await Promise.race([outcome, sleep(300)])
    if (result instanceof assert.AssertionError && !isChanged) throw result
  }

  private async scrapeUntilOver(): Promise<void> {
    const hasHttpTroubles = this.setup.scenario.troubles.some(({ where }) => where === 'http')
    while (!this.isOver) {
      await this.scrape()
      if (hasHttpTroubles) await this.scrapeThroughProxy()
      await sleep(20)
    }
  }

  private async awaitTroublesThenChangeProsody(troubles: readonly Promise<void>[]): Promise<void> {
    await Promise.all(troubles)
    const change = this.setup.scenario.prosodyChange
    if (!change) return
    await this.awaitFirstCompleteScrape()
    await this.changeProsody(change.kind, change.forMs)
  }

  /** Ends all faults, and scrapes until the exposition has the series of Prosody. Returns the milliseconds until then. */
  private async recover(): Promise<number> {
    const { xmpp, http, epochs, prosody } = this.setup
    xmpp.endFaults()
    http.endFaults()
    const endedAt = fairNow()
    epochs.add(await epochOf(prosody))
    while (!(await this.scrape()).isRead) {
      const forMs = Math.round(fairNow() - endedAt)
      assert.ok(
        forMs < RECOVERY_MS,
        `the exposition still has no series of Prosody ${forMs} ms after the last fault ended`,
      )
      await sleep(20)
    }
    return fairNow() - endedAt
  }

  /**
   * Checks the scrapes of the whole scenario. The last epoch in them must be the epoch of the running Prosody. No
   * scrape may have an epoch that never existed, or a step that Prosody has not reached.
   */
  private async assertStepsAreCurrent(): Promise<void> {
    const { prosody, epochs } = this.setup
    const [epoch, step] = await Promise.all([epochOf(prosody), stepOf(prosody)])
    if (!this.isTrue) return
    const scraped = [...this.steps.keys()]
    assert.deepEqual(scraped.at(-1), epoch)
    assert.deepEqual(
      scraped.filter((each) => !epochs.has(each)),
      [],
    )
    assert.ok(this.steps.get(epoch)! <= step)
  }

  private async assertExporterStops(): Promise<void> {
    const { exporter, xmpp, port } = this.setup
    await exporter.stop(500)
    await until(() => xmpp.connections() === 0, {
      what: 'the exporter has closed its connection to Prosody',
    })
    await assert.rejects(
      dial(port),
      'the exporter accepts no HTTP connections after it has stopped',
    )
  }

  private begin({ where, fault, direction }: Trouble): void {
    this.setup[where].begin(fault, direction)
  }

  private async runTrouble(trouble: Trouble): Promise<void> {
    const { xmpp } = this.setup
    if (trouble.when !== 'dial') {
      await this.awaitFirstCompleteScrape()
      if (trouble.when !== 'idle') {
        const { afterBytes, of } = trouble.when
        if (of === 'stream') xmpp.begin({ kind: 'reset' }, 'up')
        await Promise.race([xmpp.waitForBytes('down', afterBytes), sleep(BYTES_LIMIT_MS)])
      }
      this.begin(trouble)
    }
    await sleep(trouble.forMs)
  }

  private async awaitFirstCompleteScrape(): Promise<void> {
    const firstScrape = async () => {
      while (this.steps.size === 0 && !this.isOver) await sleep(10)
    }
    await Promise.race([firstScrape(), sleep(FIRST_SCRAPE_LIMIT_MS)])
  }

  private async changeProsody(kind: ProsodyChange, forMs: number): Promise<void> {
    const { prosody, domain, xmpp, epochs } = this.setup
    const setSecret = (secret: string) =>
      evalLua(
        prosody,
        `require "core.configmanager".set("${domain}", "component_secret", "${secret}")`,
      )
    const manageModule = (verb: string) =>
      evalLua(prosody, `require "core.modulemanager".${verb}("${domain}", "adhoc_statistics")`)
    switch (kind) {
      case 'freeze':
        prosody.kill('SIGSTOP')
        await sleep(forMs)
        prosody.kill('SIGCONT')
        break
      case 'kill':
      case 'restart':
        if (kind === 'kill') prosody.kill('SIGKILL')
        await sleep(forMs)
        await prosody.restart()
        epochs.add(await epochOf(prosody))
        break
      case 'change secret':
        await setSecret('another')
        xmpp.begin({ kind: 'reset' }, 'up')
        await sleep(forMs)
        await setSecret(prosody.secret)
        break
      case 'reload module':
        await manageModule('reload')
        break
      case 'unload module':
        await manageModule('unload')
        await sleep(forMs)
        await manageModule('load')
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
