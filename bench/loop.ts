// Measures how long the exporter blocks its event loop while it renders and compresses a million series. The
// series are in 1,000 families, in 10 families, or in one. Each result is the longest time between two calls of a
// 1 ms timer, compared with the same process when it is idle. Each number of families has its own process.
// Run: node --import tsx bench/loop.ts [rounds]

import { spawn } from 'node:child_process'
import { once } from 'node:events'
import process from 'node:process'
import { setTimeout as sleep } from 'node:timers/promises'
import { createExposition } from '../src/exposition/exposition.js'
import type { ExpositionFormat } from '../src/exposition/negotiate.js'
import { parameters, report, shown, spread, timesOf } from './figure.js'
import { change, createTables } from './million.js'

const SHAPES = [
  { families: 1000, rows: 1000 },
  { families: 10, rows: 100_000 },
  { families: 1, rows: 1_000_000 },
]
const FORMATS: readonly ExpositionFormat[] = ['text', 'openmetrics', 'protobuf']
const ROUNDS = Number(parameters[0] ?? 8)
const IDLE_MS = 2000
const child = process.argv.indexOf('--child')

/** The longest time between two turns of the event loop while `work` runs, in milliseconds. */
async function longestTurnMs(work: () => Promise<unknown>): Promise<number> {
  let last = performance.now()
  let most = 0
  let isDone = false
  const turn = () => {
    const now = performance.now()
    most = Math.max(most, now - last)
    last = now
    if (!isDone) setTimeout(turn, 1)
  }
  turn()
  await sleep(5)
  await work()
  await sleep(5)
  isDone = true
  return most
}

type Measured = { readonly [what: string]: number[] }

async function measure(families: number, rows: number): Promise<Measured> {
  const tables = createTables(families, rows)
  const found: { [what: string]: number[] } = {}
  const add = async (what: string, work: () => Promise<unknown>) => {
    ;(found[what] ??= []).push(await longestTurnMs(work))
  }
  await sleep(500)
  for (let round = 1; round <= ROUNDS; round++) {
    await add('idle', () => sleep(IDLE_MS / ROUNDS))
    change(tables, rows, round % 2 === 0 ? 1 : 10, round)
    const first = round === 1 ? 'first ' : ''
    let exposition = createExposition([], { created: false })
    await add('snapshot', () => {
      const all = tables.map((table) => table.snapshot())
      exposition = createExposition(all, { created: false })
      return Promise.resolve()
    })
    for (const format of FORMATS) {
      await add(`${first}${format}`, () => exposition.bytes(format))
      await add(`gzip of ${format}`, () => exposition.gzip(format))
    }
  }
  return found
}

if (child >= 0) {
  const { families, rows } = SHAPES[Number(process.argv[child + 1])]!
  process.send!(await measure(families, rows))
  process.disconnect()
} else {
  for (const [index, { families, rows }] of SHAPES.entries()) {
    const worker = spawn(
      process.execPath,
      ['--import', 'tsx', import.meta.filename, String(ROUNDS), '--child', String(index)],
      { stdio: ['ignore', 'inherit', 'inherit', 'ipc'] },
    )
    const [{ idle, ...rest }] = (await once(worker, 'message')) as [Measured]
    for (const [what, times] of Object.entries(rest)) {
      const series = (families * rows).toLocaleString('en')
      report({
        what: `${series} series in ${families.toLocaleString('en')} families: event loop blocked by ${what}`,
        ratio: timesOf(spread(times), spread(idle!)),
        exporter: `${shown(spread(times), 'ms')}, longest ${Math.max(...times).toFixed(1)}`,
        peer: shown(spread(idle!), 'ms idle'),
      })
    }
  }
}
