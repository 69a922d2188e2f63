// Rendering next to prom-client: 1,000 families of 100 series with 3 labels, one value in ten a
// fraction. Each in a process of its own, so that neither pays for the other's garbage; both make the
// same changes and their rounds alternate. Compression is apart.
// Run: node --import tsx bench/render.ts [rounds]

import { spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import process from 'node:process'
import { Counter, Registry } from 'prom-client'
import { createExposition } from '../src/exposition/exposition.js'
import { labelText } from '../src/metrics/family.js'
import { createTable, type Table } from '../src/metrics/table.js'
import { note, parameters, report, shown, spread, timesOf } from './figure.js'

const FAMILIES = 1000
const ROWS = 100
const ROUNDS = Number(parameters[0] ?? 15)
const WARM_UP = 4

const SCENES = {
  first: 'first rendering from a filled store',
  all: 'all values changed',
  tenth: '10 % of the values changed, in all families',
  none: 'nothing changed',
} as const
type Scene = keyof typeof SCENES
/** Each of so many values in a row has one that changes. */
const EVERY: Readonly<Record<Scene, number>> = { first: 0, all: 1, tenth: 10, none: 0 }

/** One of the two that are measured. */
type Side = {
  readonly set: (family: number, row: number, value: number) => void
  /** Nothing is known of an earlier rendering any more. */
  readonly renew: () => void
  readonly render: () => Promise<unknown>
}

const name = (f: number) => `prosody_mod_test_series_${f}`
const labelsOf = (row: number) => ({
  host: `host${row % 10}.example.com`,
  type: row % 2 ? 'c2s' : 's2s_outbound',
  ip_family: `series-${row}`,
})

let seed = 1
/** The same numbers in every process. @see Park and Miller, "Random number generators", 1988 */
function random(): number {
  seed = (seed * 48271) % 2147483647
  return seed / 2147483647
}

/** Steps of a counter: whole numbers, but for one series in ten, whose values are fractions. */
const stepOf = (row: number) => (row % 10 === 3 ? random() : 1 + Math.floor(random() * 50))

const values = Array.from({ length: FAMILIES }, () =>
  Array.from({ length: ROWS }, (_, row) => stepOf(row) * 1000),
)

/** Changes one of `every` values of each family, any of them: one in ten is a fraction. */
function change({ set }: Side, every: number): void {
  for (let f = 0; f < FAMILIES; f++) {
    for (let first = 0; first < ROWS && every > 0; first += every) {
      const row = first + Math.floor(random() * every)
      values[f]![row]! += stepOf(row)
      set(f, row, values[f]![row]!)
    }
  }
}

function createOurs(): Side & { readonly gzipMs: () => Promise<string> } {
  const createTables = () =>
    values.map((column, f) => {
      const meta = { name: name(f), type: 'counter', help: 'A test series.' } as const
      const table = createTable({ ...meta, unit: '', bounds: [] })
      column.forEach((value, row) => {
        table.append(labelText(labelsOf(row)))
        table.set(row, 0, value)
      })
      table.settle()
      return table
    })
  let tables: Table[] = createTables()
  const expose = () =>
    createExposition(
      tables.map((table) => table.snapshot()),
      { created: false },
    )
  return {
    set: (f, row, value) => {
      tables[f]!.set(row, 0, value)
    },
    renew: () => {
      tables = createTables()
    },
    render: () => expose().bytes('text'),
    async gzipMs() {
      const exposition = expose()
      const plain = await exposition.bytes('text')
      const ms = await timed(() => exposition.gzip('text'))
      return `${ms.toFixed(1)} ms for ${(plain.length / 1e6).toFixed(1)} MB`
    },
  }
}

function createTheirs(): Side {
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
  // A counter can only be counted up.
  const before = values.map((column) => [...column])
  return {
    set: (f, row, value) => {
      counters[f]!.inc(labelsOf(row), value - before[f]![row]!)
      before[f]![row] = value
    },
    renew: () => undefined,
    render: () => registry.metrics(),
  }
}

async function timed(work: () => Promise<unknown>): Promise<number> {
  const startedAt = performance.now()
  await work()
  return performance.now() - startedAt
}

/** Answers each scene that it is sent with the milliseconds that rendering it took. */
function serve(side: Side): void {
  process.on('message', (scene: Scene) => {
    if (scene === 'first') side.renew()
    change(side, EVERY[scene])
    void timed(side.render).then((ms) => process.send!(ms))
  })
}

async function ask(child: ChildProcess, scene: Scene): Promise<number> {
  child.send(scene)
  const [ms] = (await once(child, 'message')) as [number]
  return ms
}

async function compare(): Promise<void> {
  const [ours, theirs] = ['ours', 'theirs'].map((side) =>
    spawn(process.execPath, ['--import', 'tsx', import.meta.filename, '--child', side], {
      stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
    }),
  ) as [ChildProcess, ChildProcess]
  for (const [scene, what] of Object.entries(SCENES) as [Scene, string][]) {
    const times = new Map([ours, theirs].map((child) => [child, [] as number[]]))
    for (let round = 0; round < ROUNDS + WARM_UP; round++) {
      // Who is first takes turns too.
      for (const child of round % 2 ? [ours, theirs] : [theirs, ours]) {
        const ms = await ask(child, scene)
        if (round >= WARM_UP) times.get(child)!.push(ms)
      }
    }
    const [mine, peer] = [spread(times.get(ours)!), spread(times.get(theirs)!)]
    report({
      what: `Rendering 100,000 series, ${what}: prom-client's time against ours`,
      ratio: timesOf(peer, mine),
      ours: shown(mine, 'ms'),
      theirs: shown(peer, 'ms'),
    })
  }
  ours.disconnect()
  theirs.disconnect()
}

if (process.argv.includes('--child')) {
  serve(process.argv.at(-1) === 'ours' ? createOurs() : createTheirs())
} else {
  await compare()
  note(`compression, apart: ${await createOurs().gzipMs()}, in a thread of its own`)
}
