// Measures the peak resident memory of a process that renders snapshots of 1,000,000 series, while the values
// change. The benchmark subtracts the memory of a process that only loads the same modules. The peer is
// prom-client. Each set of formats runs in its own process.
// Run: node --import tsx bench/memory.ts [rounds]

import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import process from 'node:process'
import { setTimeout as sleep } from 'node:timers/promises'
import { Counter, Registry } from 'prom-client'
import { createExposition, type Exposition } from '../src/exposition/exposition.js'
import type { ExpositionFormat } from '../src/exposition/negotiate.js'
import { parameters, report } from './figure.js'
import { change, createTables, labelsOf, nameOf, valueOf } from './million.js'

const FAMILIES = 1000
const ROWS = 1000
const SERIES = FAMILIES * ROWS
const ROUNDS = Number(parameters[0] ?? 8)
const child = process.argv.indexOf('--child')

/** Returns the peak resident memory of this process, in kilobytes. @see proc(5), VmHWM */
function peakOfThis(): number {
  const text = readFileSync('/proc/self/status', 'utf8')
  return Number(/^VmHWM:\s+(\d+) kB/m.exec(text)![1])
}

/**
 * Renders changing snapshots in the given formats. To simulate a slow client, the bytes of the previous snapshot in
 * the first format stay in memory while the next snapshot is rendered.
 */
async function serve(formats: readonly ExpositionFormat[], zipped: boolean): Promise<void> {
  const tables = createTables(FAMILIES, ROWS)
  let held: Uint8Array | undefined
  let last: Exposition | undefined
  for (let round = 1; round <= ROUNDS; round++) {
    // In every fourth round, all values change. In the other rounds, one value in ten changes.
    change(tables, ROWS, round % 4 === 0 ? 1 : 10, round)
    const families = tables.map((table) => table.snapshot())
    last = createExposition(families, { created: false })
    let next: Uint8Array | undefined
    for (const format of formats) {
      const bytes = await last.bytes(format)
      next ??= bytes
      if (zipped) await last.gzip(format)
    }
    // This check reads the bytes of the previous snapshot, so that the garbage collector cannot free them earlier.
    if (held && held[0] !== '#'.charCodeAt(0))
      throw new Error('The held bytes are not an exposition')
    held = next
    await sleep(50)
  }
}

async function promClient(families: number): Promise<void> {
  const registry = new Registry()
  for (let f = 0; f < families; f++) {
    const counter = new Counter({
      name: `${nameOf(f)}_total`,
      help: 'A test series.',
      labelNames: ['host', 'type', 'ip_family'],
      registers: [registry],
    })
    for (let row = 0; row < ROWS; row++) counter.inc(labelsOf(row), valueOf(row, 0))
  }
  let held = await registry.metrics()
  for (let round = 1; round <= 2; round++) {
    const next = await registry.metrics()
    if (next.length < held.length) throw new Error('The exposition of prom-client became shorter')
    held = next
  }
}

const WORK: Readonly<Record<string, () => Promise<void>>> = {
  empty: () => Promise.resolve(),
  one: () => serve(['text'], false),
  oneZipped: () => serve(['text'], true),
  three: () => serve(['text', 'openmetrics', 'protobuf'], false),
  threeZipped: () => serve(['text', 'openmetrics', 'protobuf'], true),
  promClient: () => promClient(FAMILIES),
  promClientTenth: () => promClient(FAMILIES / 10),
}

async function peak(work: string): Promise<number | undefined> {
  const child = spawn(
    process.execPath,
    ['--import', 'tsx', import.meta.filename, String(ROUNDS), '--child', work],
    { stdio: ['ignore', 'pipe', 'inherit'] },
  )
  const chunks: Buffer[] = []
  child.stdout.on('data', (chunk: Buffer) => chunks.push(chunk))
  const [code] = (await once(child, 'close')) as [number | null]
  return code === 0 ? Number(/peak (\d+)/.exec(Buffer.concat(chunks).toString())![1]) : undefined
}

if (child >= 0) {
  await WORK[process.argv[child + 1]!]!()
  console.log(`peak ${peakOfThis()}`)
} else {
  const empty = (await peak('empty'))!
  const bytesEach = (kB: number, series: number) => ((kB - empty) * 1024) / series
  const whole = await peak('promClient')
  const peerBytes = bytesEach(
    whole ?? (await peak('promClientTenth'))!,
    whole ? SERIES : SERIES / 10,
  )
  const peer = `prom-client, text${whole ? '' : ', with 100,000 series: a million exceed its heap'}`
  for (const [work, what] of [
    ['one', 'text'],
    ['oneZipped', 'text, compressed too'],
    ['three', 'text, OpenMetrics and protobuf'],
    ['threeZipped', 'all three, compressed too'],
  ] as const) {
    const kB = await peak(work)
    if (kB === undefined) throw new Error(`${work} failed`)
    const exporterBytes = bytesEach(kB, SERIES)
    report({
      what: `Peak memory per series, 1,000,000 series with changing values, ${what}`,
      ratio: `1/${(peerBytes / exporterBytes).toFixed(1)}`,
      exporter: `${exporterBytes.toFixed(0)} B`,
      peer: `${peerBytes.toFixed(0)} B, ${peer}`,
    })
  }
}
