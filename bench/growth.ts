// Measures how much the memory of the exporter grows over a day of collections (one every 15 s), with 10,000
// series in 100 families. One value in ten changes at each collection. At every second collection, two of the
// 100 families are replaced. That starts a new epoch of the registry, so the exporter reads all series. At the
// other collections, the exporter reads only the changed values. The snapshots are rendered as text,
// OpenMetrics and protobuf in turn, and half of them are compressed with gzip.
// Each result compares two values: the growth after the first 500 collections, by least squares, and the
// difference between the largest and the smallest value within the first 500 collections.
// Run: node --expose-gc --import tsx bench/growth.ts [--markdown] [collections]

import process from 'node:process'
import { createRegistryCollector, REGISTRY_NODE } from '../src/collectors/registry/registry.js'
import type { Connection } from '../src/xmpp/connection.js'
import { xml } from '../src/xmpp/xml.js'
import { createScraper } from '../src/scrape/scraper.js'
import { note, parameters, report } from './figure.js'

const COLLECTIONS = Number(parameters[0] ?? 5760)
const EVERY = Math.min(100, Math.ceil(COLLECTIONS / 60))
const FIRST = Math.min(500, Math.ceil(COLLECTIONS / 10))
const FAMILIES = 100
const ROWS = 100
const PAGE = 1000
const FORMATS = ['text', 'openmetrics', 'protobuf'] as const

type Point = { readonly collection: number; readonly heap: number; readonly rss: number }

const { gc } = globalThis
if (!gc) throw new Error('Run this benchmark with --expose-gc')

/**
 * Creates a stand-in for the connection to mod_adhoc_statistics. It supports one client, which must collect once
 * after each call of `move()`.
 */
function createSource() {
  const values = Array.from({ length: FAMILIES * ROWS }, (_, i) => i)
  const generations = new Array<number>(FAMILIES).fill(0)
  let epoch = 0
  let turn = 0
  const isMoving = (id: number) => (id + turn) % 10 === 0

  function line(id: number): string {
    const family = Math.floor((id - 1) / ROWS)
    const row = (id - 1) % ROWS
    const label = `${family}-${generations[family]!}-${row}`
    const head =
      row === 0 ? `F\t${family}\tcounter\ttest_series_${family}\t\tA test series.\t1\tlabel\n` : ''
    return `${head}S\t${id}\t${family}\t1700000000\t${label}\t${values[id - 1]!}\n`
  }

  const connection: Pick<Connection, 'request' | 'domain'> = {
    domain: 'stats.example',
    request(_type, command) {
      const query = command.getChild('statistics', REGISTRY_NODE)!.attrs
      const first = Number(query['first'] ?? 1)
      const last = Math.min(first + PAGE - 1, values.length)
      const isKnown = query['epoch'] === String(epoch) && (query['since'] ?? '0') !== '0'
      const rowOf = (id: number) =>
        isKnown ? (isMoving(id) ? `${id}\t${values[id - 1]!}\n` : '') : line(id)
      const lines = Array.from({ length: last - first + 1 }, (_, i) => rowOf(first + i)).join('')
      const statistics = xml(
        'statistics',
        {
          xmlns: REGISTRY_NODE,
          epoch: String(epoch),
          change: String(turn),
          size: String(values.length),
          last: String(last),
        },
        xml('lines', {}, lines),
      )
      const attrs = {
        xmlns: 'http://jabber.org/protocol/commands',
        node: REGISTRY_NODE,
        status: 'completed',
      }
      return Promise.resolve(xml('iq', { type: 'result' }, xml('command', attrs, statistics)))
    },
  }
  return {
    connection,
    move() {
      turn++
      for (let id = 1; id <= values.length; id++) if (isMoving(id)) values[id - 1]! += 7
      if (turn % 2 > 0) return
      epoch++
      generations[turn % FAMILIES]!++
      generations[(turn + 1) % FAMILIES]!++
    },
  }
}

const source = createSource()
const silent = () => undefined
const warnings: string[] = []
const scraper = createScraper({
  log: { debug: silent, info: silent, warn: (line) => warnings.push(line), error: silent },
  created: true,
  collectors: [createRegistryCollector(source.connection)],
  link: () => ({ connected: true, connects: 1 }),
  exporterFamilies: () => [],
  minAgeMs: 0,
  timeoutMs: 10_000,
  maxSeries: Infinity,
})

const points: Point[] = []
for (let i = 1; i <= COLLECTIONS; i++) {
  source.move()
  const { exposition } = await scraper.refresh()
  const format = FORMATS[i % FORMATS.length]!
  const bytes = await (i % 2 ? exposition.gzip(format) : exposition.bytes(format))
  if (bytes.length < 10_000) throw new Error(`only ${bytes.length} bytes: ${warnings.join('; ')}`)
  if (i % EVERY > 0) continue
  gc()
  await new Promise(setImmediate)
  gc()
  const { heapUsed, external, rss } = process.memoryUsage()
  // In process.memoryUsage(), `external` already includes `arrayBuffers`.
  points.push({ collection: i, heap: (heapUsed + external) / 1e6, rss: rss / 1e6 })
}
if (warnings.length > 0) throw new Error(warnings.join('; '))

note(`${COLLECTIONS} collections, measured every ${EVERY}; the first ${FIRST} are the baseline`)
for (const [what, of] of [
  ['heap and buffers after garbage collection', (point: Point) => point.heap],
  ['resident memory', (point: Point) => point.rss],
] as const) {
  const early = points.filter(({ collection }) => collection <= FIRST).map(of)
  const late = points.filter(({ collection }) => collection > FIRST)
  const growth = slope(late, of) * (COLLECTIONS - FIRST)
  const noise = Math.max(...early) - Math.min(...early)
  report({
    what: `A day of 10,000 series, ${what}: growth after collection ${FIRST}, against the variation before`,
    ratio: `${(growth / noise).toFixed(2)} times`,
    exporter: `${growth.toFixed(2)} MB on ${of(late[0]!).toFixed(1)} MB`,
    peer: `${noise.toFixed(2)} MB`,
  })
}

/** Returns the slope of the least-squares line through the points, per collection. */
function slope(of: readonly Point[], value: (point: Point) => number): number {
  const mean = (values: readonly number[]) => values.reduce((a, b) => a + b, 0) / values.length
  const x = mean(of.map(({ collection }) => collection))
  const y = mean(of.map(value))
  const dot = of.reduce((sum, p) => sum + (p.collection - x) * (value(p) - y), 0)
  return dot / of.reduce((sum, p) => sum + (p.collection - x) ** 2, 0)
}
