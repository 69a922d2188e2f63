/** One life of the exporter against a server and a network that fail by a seed, in no time at all. */

import assert from 'node:assert/strict'
import { createRegistryCollector } from '../../../src/collectors/registry/registry.js'
import type { Log } from '../../../src/log/log.js'
import { createScraper } from '../../../src/scrape/scraper.js'
import { createConnection } from '../../../src/xmpp/connection.js'
import { createRandom } from '../../support/random.js'
import { sampleValue } from '../../support/real.js'
import { createNetwork, type Mode } from './network.js'
import { createTime } from './time.js'
import { createWorld, DOMAIN, type Lie, type World } from './world.js'

const TIMEOUT_MS = 2000
const RECOVERY_MS = 5000
const MODES: readonly Mode[] = ['stall', 'drop up', 'drop down', 'slow', 'refuse', 'silent']
const LIES: readonly Lie[] = [
  ...(['twice', 'from another', 'guessed ids', 'before its turn', 'not well-formed'] as const),
  ...(['a DOCTYPE', 'an entity', 'too deep', 'no UTF-8', 'another namespace'] as const),
]
const silent: Log = { debug() {}, info() {}, warn() {}, error() {} }

export type Outcome = { readonly scrapes: number; readonly ups: number; readonly script: string[] }

/** @throws AssertionError with the script of what happened. */
export async function simulate(seed: number): Promise<Outcome> {
  const random = createRandom(seed)
  const time = createTime()
  const script: string[] = []
  const world = createWorld(time, random)
  const network = createNetwork(time, random, (peer) => {
    world.accept(peer)
  })
  const minAgeMs = random.pick([0, 250, 1000])
  const connection = createConnection({
    ...{ service: 'xmpp://127.0.0.1:5347', domain: DOMAIN, secret: 'secret', version: '0' },
    log: silent,
    now: time.now,
    random: () => random.below(1000) / 1000,
    onOnline: () => void scraper.refresh(),
  })
  const scraper = createScraper({
    collectors: [
      createRegistryCollector(connection, {
        auditEvery: 1 + random.below(5),
        now: time.now,
        pause: (ms) => new Promise((resolve) => setTimeout(resolve, ms)),
      }),
    ],
    ...{
      minAgeMs,
      timeoutMs: TIMEOUT_MS,
      maxSeries: 1000,
      created: false,
      exporterFamilies: () => [],
    },
    link: () => ({ connected: connection.isConnected(), connects: connection.connects() }),
    log: silent,
    now: time.now,
  })
  let scrapes = 0
  let ups = 0
  const under = new Set<Promise<void>>()

  async function scrape(waitMs: number): Promise<boolean> {
    const startedAt = time.now()
    const wasConnected = connection.isConnected()
    const snapshot = await scraper.scrape(waitMs)
    const tookMs = time.now() - startedAt
    assert.ok(tookMs <= waitMs, `answered after ${tookMs} of ${waitMs} ms`)
    const text = Buffer.from(await snapshot.exposition.bytes('text')).toString()
    scrapes++
    if (!wasConnected && !connection.isConnected()) assert.match(text, /^xmpp_up 0$/m)
    const isRead = judge(text, world, startedAt - TIMEOUT_MS - minAgeMs, time.now())
    if (isRead) ups++
    return isRead
  }

  try {
    connection.start()
    for (let steps = 5 + random.below(20); steps > 0; steps--) {
      const what = random.below(20)
      if (what < 6) world.move()
      else if (what < 12) {
        const waitMs = random.pick([50, 500, 2500])
        script.push(`${time.now()}: a scrape that waits ${waitMs} ms`)
        const one = scrape(waitMs).then(() => undefined)
        one.catch(() => undefined)
        under.add(one)
      } else if (what < 16) {
        network.mode = random.below(2) === 0 ? 'well' : random.pick(MODES)
        script.push(`${time.now()}: the network: ${network.mode}`)
      } else if (what === 16) {
        const kind = random.pick(['reset', 'close'] as const)
        script.push(`${time.now()}: all connections: ${kind}`)
        network.endAll(kind)
      } else if (what === 17) {
        world.lie = random.below(2) === 0 ? 'none' : random.pick(LIES)
        script.push(`${time.now()}: the server lies: ${world.lie}`)
      } else if (what === 18) {
        const change = random.pick(['replace', 'restart'] as const)
        script.push(`${time.now()}: the server: ${change}`)
        world[change]()
        if (change === 'restart') network.endAll('reset')
      } else {
        world.hasModule = !world.hasModule
        script.push(`${time.now()}: the module is ${world.hasModule ? 'loaded' : 'unloaded'}`)
      }
      await time.pass(random.below(random.pick([5, 100, 1500, 4000])))
    }

    network.mode = 'well'
    world.lie = 'none'
    world.hasModule = true
    script.push(`${time.now()}: all is well again`)
    const wellAt = time.now()
    for (;;) {
      const one = scrape(500)
      one.catch(() => undefined)
      await time.pass(600)
      if (await one) break
      assert.ok(
        time.now() - wellAt < RECOVERY_MS + 600,
        `not right ${time.now() - wellAt} ms after`,
      )
    }
    // What is told now is what is there now.
    await time.pass(TIMEOUT_MS + minAgeMs)
    const last = scraper.scrape(TIMEOUT_MS)
    await time.pass(TIMEOUT_MS)
    const text = Buffer.from(await (await last).exposition.bytes('text')).toString()
    assert.deepEqual(samplesOf(text), world.truth())
    await Promise.all(under)
    const stopped = connection.stop()
    await time.pass(1000)
    await stopped
    // The last snapshot is let go of.
    await time.pass(5000)
    assert.equal(network.open(), 0, 'a socket is left')
    assert.equal(time.pending(), 0, 'a timer is left')
    return { scrapes, ups, script }
  } catch (error) {
    const { message } = error as Error
    throw new Error(`seed ${seed}: ${message}\n  ${script.join('\n  ')}`, { cause: error })
  } finally {
    network.end()
    time.end()
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

/** Whether the server's series are there; throws where they are not as they were at one moment since. */
function judge(text: string, world: World, since: number, until: number): boolean {
  const up = sampleValue(text, 'xmpp_up')
  const success = sampleValue(text, 'prosody_exporter_collector_success{collector="registry"}')
  const samples = samplesOf(text)
  assert.ok(up === 0 || up === 1)
  if (up === 1) assert.ok(world.answeredAt() >= since, 'up, and nothing was answered')
  if (success !== 1) {
    assert.equal(samples.size, 0, 'series of a registry that was not read')
    return false
  }
  assert.equal(up, 1)
  let latestBirth = -Infinity
  let firstEnd = Infinity
  for (const [key, value] of samples) {
    const series = world.history().get(key)
    assert.ok(series, `${key} was never there`)
    const at = series.values.findIndex((each) => each.value === value)
    assert.ok(at >= 0, `${key} never was ${value}`)
    const next = series.values[at + 1]?.from ?? Infinity
    assert.ok(next >= since, `${key} ${value} was true until ${next}, asked for since ${since}`)
    latestBirth = Math.max(latestBirth, series.born)
    firstEnd = Math.min(firstEnd, series.gone)
  }
  assert.ok(firstEnd >= since, 'what was gone before')
  assert.ok(latestBirth <= firstEnd, 'series of two epochs')
  for (const [key, { born, gone }] of world.history()) {
    if (born < since && gone > until) assert.ok(samples.has(key), `${key} is missing`)
  }
  return true
}
