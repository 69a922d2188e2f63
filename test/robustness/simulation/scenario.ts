/** Simulates the exporter against a server and a network that fail at random, without real time. */

import assert from 'node:assert/strict'
import { createRegistryCollector } from '../../../src/collectors/registry/registry.js'
import type { Log } from '../../../src/log/log.js'
import { createScraper } from '../../../src/scrape/scraper.js'
import { createConnection } from '../../../src/xmpp/connection.js'
import { createRandom, type Random } from '../../support/random.js'
import { sampleValue } from '../../support/real.js'
import { createNetwork, type Mode, type Network } from './network.js'
import { DOMAIN, SimulatedServer, type Misbehaviour } from './server.js'
import { createTime, type Time } from './time.js'

const TIMEOUT_MS = 2000
const RECOVERY_MS = 5000
const MODES: readonly Mode[] = ['stall', 'drop up', 'drop down', 'slow', 'refuse', 'silent']
const MISBEHAVIOURS: readonly Misbehaviour[] = [
  ...(['twice', 'from another', 'guessed ids', 'out of order', 'not well-formed'] as const),
  ...(['a DOCTYPE', 'an entity', 'too deep', 'no UTF-8', 'another namespace'] as const),
]
const silent: Log = { debug() {}, info() {}, warn() {}, error() {} }

/**
 * The number of scrapes, the number of scrapes with series of the server, and the events of the simulation. Each event
 * is one line of text, which helps to debug the simulation with the same seed.
 */
export type Outcome = { readonly scrapes: number; readonly ups: number; readonly script: string[] }

/** @throws Error with the list of events if a scrape is wrong, or if a socket or timer stays open. */
export async function simulate(seed: number): Promise<Outcome> {
  const simulation = new Simulation(createRandom(seed))
  try {
    await simulation.runRandomEvents()
    await simulation.recover()
    await simulation.assertSamplesAreCurrent()
    await simulation.stop()
    return simulation.outcome
  } catch (error) {
    const { message } = error as Error
    const events = simulation.outcome.script.join('\n  ')
    throw new Error(`seed ${seed}: ${message}\n  ${events}`, { cause: error })
  } finally {
    simulation.restoreGlobals()
  }
}

class Simulation {
  readonly outcome = { scrapes: 0, ups: 0, script: [] as string[] }
  private readonly random: Random
  private readonly time: Time
  private readonly server: SimulatedServer
  private readonly network: Network
  private readonly minAgeMs: number
  private readonly connection: ReturnType<typeof createConnection>
  private readonly scraper: ReturnType<typeof createScraper>
  private readonly pendingScrapes = new Set<Promise<void>>()

  constructor(random: Random) {
    this.random = random
    const time = createTime()
    this.time = time
    this.server = new SimulatedServer(time, random)
    this.network = createNetwork(time, random, (peer) => {
      this.server.accept(peer)
    })
    this.minAgeMs = random.pick([0, 250, 1000])
    const connection = createConnection({
      ...{ service: 'xmpp://127.0.0.1:5347', domain: DOMAIN, secret: 'secret', version: '0' },
      log: silent,
      now: time.now,
      random: () => random.below(1000) / 1000,
      onOnline: () => void this.scraper.refresh(),
    })
    this.connection = connection
    this.scraper = createScraper({
      collectors: [
        createRegistryCollector(connection, {
          auditEvery: 1 + random.below(5),
          now: time.now,
          pause: (ms) => new Promise((resolve) => setTimeout(resolve, ms)),
        }),
      ],
      ...{ minAgeMs: this.minAgeMs, timeoutMs: TIMEOUT_MS, maxSeries: 1000 },
      ...{ created: false, exporterFamilies: () => [] },
      link: () => ({ connected: connection.isConnected(), connects: connection.connects() }),
      log: silent,
      now: time.now,
    })
  }

  async runRandomEvents(): Promise<void> {
    const { random, time } = this
    this.connection.start()
    for (let steps = 5 + random.below(20); steps > 0; steps--) {
      this.runRandomEvent()
      await time.pass(random.below(random.pick([5, 100, 1500, 4000])))
    }
  }

  /** Ends all failures, and scrapes until the exposition has the series of the server. */
  async recover(): Promise<void> {
    const { time } = this
    this.network.mode = 'well'
    this.server.misbehaviour = 'none'
    this.server.hasModule = true
    this.note('all failures end')
    const endedAt = time.now()
    for (;;) {
      const scrape = this.scrape(500)
      scrape.catch(() => undefined)
      await time.pass(600)
      if (await scrape) return
      const forMs = time.now() - endedAt
      assert.ok(
        forMs < RECOVERY_MS + 600,
        `the exposition still has no series of the server ${forMs} ms after the last failure ended`,
      )
    }
  }

  async assertSamplesAreCurrent(): Promise<void> {
    const { time } = this
    // After the timeout of a scrape and the minimum age of a snapshot, a scrape needs a new collection. So it returns
    // exactly the current values of the server.
    await time.pass(TIMEOUT_MS + this.minAgeMs)
    const last = this.scraper.scrape(TIMEOUT_MS)
    await time.pass(TIMEOUT_MS)
    const text = Buffer.from(await (await last).exposition.bytes('text')).toString()
    assert.deepEqual(samplesOf(text), this.server.samples())
    await Promise.all(this.pendingScrapes)
  }

  async stop(): Promise<void> {
    const stopped = this.connection.stop()
    await this.time.pass(1000)
    await stopped
    // Within 5 s, the scraper releases its last snapshot, and its timer ends.
    await this.time.pass(5000)
    assert.equal(this.network.open(), 0, 'a socket is open after the exporter has stopped')
    assert.equal(this.time.pending(), 0, 'a timer is active after the exporter has stopped')
  }

  restoreGlobals(): void {
    this.network.end()
    this.time.end()
  }

  private note(event: string): void {
    this.outcome.script.push(`${this.time.now()}: ${event}`)
  }

  private runRandomEvent(): void {
    const { random } = this
    const event = random.below(20)
    if (event < 6) this.server.changeValue()
    else if (event < 12) this.startScrape(random.pick([50, 500, 2500]))
    else if (event < 16) {
      this.network.mode = random.below(2) === 0 ? 'well' : random.pick(MODES)
      this.note(`mode of the network: ${this.network.mode}`)
    } else if (event === 16) {
      const kind = random.pick(['reset', 'close'] as const)
      this.note(`end of all connections: ${kind}`)
      this.network.endAll(kind)
    } else if (event === 17) {
      this.server.misbehaviour = random.below(2) === 0 ? 'none' : random.pick(MISBEHAVIOURS)
      this.note(`misbehaviour of the server: ${this.server.misbehaviour}`)
    } else if (event === 18) {
      const change = random.pick(['replaceFamily', 'restart'] as const)
      this.note(`change of the server: ${change}`)
      this.server[change]()
      if (change === 'restart') this.network.endAll('reset')
    } else {
      this.server.hasModule = !this.server.hasModule
      this.note(`the module is ${this.server.hasModule ? 'loaded' : 'unloaded'}`)
    }
  }

  /** Starts a scrape without waiting for it, so that the next events happen during the scrape. */
  private startScrape(waitMs: number): void {
    this.note(`a scrape that waits ${waitMs} ms`)
    const scrape = this.scrape(waitMs).then(() => undefined)
    scrape.catch(() => undefined)
    this.pendingScrapes.add(scrape)
  }

  /** Scrapes and checks the exposition. Returns whether the exposition has the series of the server. */
  private async scrape(waitMs: number): Promise<boolean> {
    const { time, connection } = this
    const startedAt = time.now()
    const wasConnected = connection.isConnected()
    const snapshot = await this.scraper.scrape(waitMs)
    const tookMs = time.now() - startedAt
    assert.ok(tookMs <= waitMs, `a scrape with a limit of ${waitMs} ms took ${tookMs} ms`)
    const text = Buffer.from(await snapshot.exposition.bytes('text')).toString()
    this.outcome.scrapes++
    if (!wasConnected && !connection.isConnected()) assert.match(text, /^xmpp_up 0$/m)
    const isRead = judge(text, this.server, {
      since: startedAt - TIMEOUT_MS - this.minAgeMs,
      until: time.now(),
    })
    if (isRead) this.outcome.ups++
    return isRead
  }
}

function samplesOf(text: string): Map<string, number> {
  const lines = text.split('\n').filter((line) => line.startsWith('test_'))
  return new Map(
    lines.map((line) => {
      const [, name, label, value] = /^(\w+)\{label="(\w+)"\} (\d+)$/.exec(line) ?? []
      assert.ok(value !== undefined, line)
      return [`${name}{${label}}`, Number(value)] as const
    }),
  )
}

/**
 * Returns whether the exposition has the series of the server. Throws if the server did not have all these series at
 * the same time, or if it had other values during the whole period from `since` to `until`.
 */
function judge(
  text: string,
  server: SimulatedServer,
  { since, until }: { since: number; until: number },
): boolean {
  const up = sampleValue(text, 'xmpp_up')
  const success = sampleValue(text, 'prosody_exporter_collector_success{collector="registry"}')
  const samples = samplesOf(text)
  assert.ok(up === 0 || up === 1)
  if (up === 1) {
    assert.ok(server.answeredAt() >= since, 'xmpp_up is 1, but the server did not send any reply')
  }
  if (success !== 1) {
    assert.equal(samples.size, 0, 'the exposition has series of a registry that was not read')
    return false
  }
  assert.equal(up, 1)
  let latestBirth = -Infinity
  let firstEnd = Infinity
  for (const [key, value] of samples) {
    const series = server.history().get(key)
    assert.ok(series, `${key} never existed`)
    const at = series.values.findIndex((each) => each.value === value)
    assert.ok(at >= 0, `${key} never had the value ${value}`)
    const replacedAt = series.values[at + 1]?.from ?? Infinity
    assert.ok(
      replacedAt >= since,
      `${key} had the value ${value} until ${replacedAt}; the period begins at ${since}`,
    )
    latestBirth = Math.max(latestBirth, series.born)
    firstEnd = Math.min(firstEnd, series.gone)
  }
  assert.ok(
    firstEnd >= since,
    `the exposition has a series that the server removed before ${since}`,
  )
  assert.ok(latestBirth <= firstEnd, 'the exposition has series of two epochs')
  for (const [key, { born, gone }] of server.history()) {
    if (born < since && gone > until) {
      assert.ok(samples.has(key), `${key} existed, but is missing in the exposition`)
    }
  }
  return true
}
