// Rendering next to prom-client: 1,000 families of 100 series with 3 labels, one value in ten a
// fraction. Rounds alternate; a figure is the ratio of medians with the least and the greatest of
// the rounds' own ratios. Compression is apart. Run: node --import tsx bench/render.ts [rounds]

import { Counter, Registry } from 'prom-client'
import { createExposition } from '../src/metrics/exposition.js'
import { labelText } from '../src/metrics/family.js'
import { createTable, type Table } from '../src/metrics/store.js'
import { note, parameters, report, shown, spread, timesOf } from './figure.js'

const FAMILIES = 1000
const ROWS = 100
const ROUNDS = Number(parameters[0] ?? 15)
const WARM_UP = 4

const name = (f: number) => `prosody_mod_test_series_${f}`
const labelsOf = (row: number) => ({
  host: `host${row % 10}.example.com`,
  type: row % 2 ? 'c2s' : 's2s_outbound',
  ip_family: `series-${row}`,
})

let seed = 1
/** The same numbers in every run. @see Park and Miller, "Random number generators", 1988 */
function random(): number {
  seed = (seed * 48271) % 2147483647
  return seed / 2147483647
}

/** Steps of a counter: whole numbers, but for one series in ten, whose values are fractions. */
const stepOf = (row: number) => (row % 10 === 3 ? random() : 1 + Math.floor(random() * 50))

const values = Array.from({ length: FAMILIES }, () =>
  Array.from({ length: ROWS }, (_, row) => stepOf(row) * 1000),
)

function createTables(): Table[] {
  return values.map((column, f) => {
    const table = createTable({
      name: name(f),
      type: 'counter',
      help: 'A test series.',
      unit: '',
      bounds: [],
    })
    column.forEach((value, row) => {
      table.append(labelText(labelsOf(row)))
      table.set(row, 0, value)
    })
    table.settle()
    return table
  })
}

const registry = new Registry()
const counters = values.map((column, f) => {
  const counter = new Counter({
    name: `${name(f)}_total`,
    help: 'A test series.',
    labelNames: ['host', 'type', 'ip_family'],
    registers: [registry],
  })
  column.forEach((value, row) => {
    counter.inc(labelsOf(row), value)
  })
  return counter
})

/** Changes every `every`-th value of each family, on both sides. */
function change(tables: readonly Table[], every: number): void {
  const first = Math.floor(random() * every)
  for (let f = 0; f < FAMILIES; f++) {
    for (let row = first; row < ROWS; row += every) {
      const step = stepOf(row)
      values[f]![row]! += step
      tables[f]!.set(row, 0, values[f]![row]!)
      counters[f]!.inc(labelsOf(row), step)
    }
  }
}

const expose = (tables: readonly Table[]) =>
  createExposition(
    tables.map((table) => table.snapshot()),
    { created: false },
  )

async function timed(work: () => Promise<unknown>): Promise<number> {
  const startedAt = performance.now()
  await work()
  return performance.now() - startedAt
}

async function compare(
  figure: string,
  prepare: (tables: Table[]) => Table[],
  work: (tables: readonly Table[]) => Promise<unknown> = (tables) => expose(tables).bytes('text'),
): Promise<void> {
  let tables = createTables()
  await expose(tables).bytes('text')
  const ours: number[] = []
  const theirs: number[] = []
  for (let round = 0; round < ROUNDS + WARM_UP; round++) {
    tables = prepare(tables)
    const mine = () => timed(() => work(tables))
    const peer = () => timed(() => registry.metrics())
    // Who is first takes turns too.
    const [a, b] = round % 2 ? [await mine(), await peer()] : [await peer(), await mine()]
    if (round < WARM_UP) continue
    ours.push(round % 2 ? a : b)
    theirs.push(round % 2 ? b : a)
  }
  report({
    what: `Rendering 100,000 series, ${figure}: prom-client's time against ours`,
    ratio: timesOf(spread(theirs), spread(ours)),
    ours: shown(spread(ours), 'ms'),
    theirs: shown(spread(theirs), 'ms'),
  })
}

const changed = (every: number) => (tables: Table[]) => {
  change(tables, every)
  return tables
}

await compare('first rendering from a filled store', createTables)
await compare('all values changed', changed(1))
await compare('10 % of the values changed, in all families', changed(10))
await compare('nothing changed', changed(Infinity))

const exposition = expose(createTables())
const plain = await exposition.bytes('text')
const gzipMs = await timed(() => exposition.gzip('text'))
note(
  `compression, apart: ${gzipMs.toFixed(1)} ms for ${(plain.length / 1e6).toFixed(1)} MB, ` +
    'in a thread of its own',
)
