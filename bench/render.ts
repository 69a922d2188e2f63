// Compares the time for rendering an exposition with the time of prom-client. Both render 1,000 families of 100
// series with 3 labels, and one series in ten has fractions. Both make the same changes, and their rounds
// alternate. Each has its own process, so that neither has to collect the garbage of the other. The benchmark
// measures the compression of the exposition separately.
// Run: node --import tsx bench/render.ts [rounds]

import { spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import process from 'node:process'
import { Counter, Registry } from 'prom-client'
import { createExposition } from '../src/exposition/exposition.js'
import { formatLabels } from '../src/metrics/labels.js'
import { createTable, type Table } from '../src/metrics/table.js'
import { note, parameters, report, shown, spread, timesOf } from './figure.js'

const FAMILIES = 1000
const ROWS = 100
const ROUNDS = Number(parameters[0] ?? 15)
const WARM_UP = 4

const SCENES = {
  first: 'first rendering, with nothing cached',
  all: 'all values changed',
  tenth: '10 % of the values changed, in all families',
  none: 'nothing changed',
} as const
type Scene = keyof typeof SCENES
/** How many values change before a rendering: 10 means one value in ten, 1 means all, and 0 means none. */
const EVERY: Readonly<Record<Scene, number>> = { first: 0, all: 1, tenth: 10, none: 0 }

/** The exporter or prom-client, with the operations that the benchmark needs. */
type Side = {
  readonly set: (family: number, row: number, value: number) => void
  /** Discards everything that earlier renderings cached. */
  readonly reset: () => void
  readonly render: () => Promise<unknown>
}

const name = (f: number) => `prosody_mod_test_series_${f}`
const labelsOf = (row: number) => ({
  host: `host${row % 10}.example.com`,
  type: row % 2 ? 'c2s' : 's2s_outbound',
  ip_family: `series-${row}`,
})

let seed = 1
/**
 * Returns a pseudo-random number from 0 to 1. The sequence of numbers is the same in every process.
 *
 * @see Park and Miller, "Random number generators", 1988
 */
function random(): number {
  seed = (seed * 48271) % 2147483647
  return seed / 2147483647
}

/** Returns a random increment of a counter: a fraction for one series in ten, else a whole number. */
const stepOf = (row: number) => (row % 10 === 3 ? random() : 1 + Math.floor(random() * 50))

const values = Array.from({ length: FAMILIES }, () =>
  Array.from({ length: ROWS }, (_, row) => stepOf(row) * 1000),
)

/** In each family, changes one value, chosen at random, of each group of `every` values. */
function change({ set }: Side, every: number): void {
  for (let f = 0; f < FAMILIES; f++) {
    for (let first = 0; first < ROWS && every > 0; first += every) {
      const row = first + Math.floor(random() * every)
      values[f]![row]! += stepOf(row)
      set(f, row, values[f]![row]!)
    }
  }
}

function createExporterSide(): Side & { readonly gzipMs: () => Promise<string> } {
  const createTables = () =>
    values.map((column, f) => {
      const meta = { name: name(f), type: 'counter', help: 'A test series.' } as const
      const table = createTable({ ...meta, unit: '', bounds: [] })
      column.forEach((value, row) => {
        table.append(formatLabels(labelsOf(row)))
        table.set(row, 0, value)
      })
      table.sortNewRows()
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
    reset: () => {
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

function createPeerSide(): Side {
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
  // prom-client can only increment a counter, so the increment is computed from the previous value.
  const before = values.map((column) => [...column])
  return {
    set: (f, row, value) => {
      counters[f]!.inc(labelsOf(row), value - before[f]![row]!)
      before[f]![row] = value
    },
    reset: () => undefined,
    render: () => registry.metrics(),
  }
}

async function timed(work: () => Promise<unknown>): Promise<number> {
  const startedAt = performance.now()
  await work()
  return performance.now() - startedAt
}

/** For each scene that the parent process sends, changes values, renders, and replies with the milliseconds. */
function serve(side: Side): void {
  process.on('message', (scene: Scene) => {
    if (scene === 'first') side.reset()
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
  const [exporterChild, peerChild] = ['exporter', 'peer'].map((side) =>
    spawn(process.execPath, ['--import', 'tsx', import.meta.filename, '--child', side], {
      stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
    }),
  ) as [ChildProcess, ChildProcess]
  for (const [scene, what] of Object.entries(SCENES) as [Scene, string][]) {
    const times = new Map([exporterChild, peerChild].map((child) => [child, [] as number[]]))
    for (let round = 0; round < ROUNDS + WARM_UP; round++) {
      // The first of the two processes also alternates from round to round.
      for (const child of round % 2 ? [exporterChild, peerChild] : [peerChild, exporterChild]) {
        const ms = await ask(child, scene)
        if (round >= WARM_UP) times.get(child)!.push(ms)
      }
    }
    const [exporterSpread, peerSpread] = [
      spread(times.get(exporterChild)!),
      spread(times.get(peerChild)!),
    ]
    report({
      what: `Rendering 100,000 series, ${what}: time of prom-client against the exporter`,
      ratio: timesOf(peerSpread, exporterSpread),
      exporter: shown(exporterSpread, 'ms'),
      peer: shown(peerSpread, 'ms'),
    })
  }
  exporterChild.disconnect()
  peerChild.disconnect()
}

if (process.argv.includes('--child')) {
  serve(process.argv.at(-1) === 'exporter' ? createExporterSide() : createPeerSide())
} else {
  await compare()
  note(
    `compression, measured separately: ${await createExporterSide().gzipMs()}, in its own thread`,
  )
}
