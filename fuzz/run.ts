/**
 * `npm run fuzz [-- TARGET …] [--inputs N | --seconds S] [--seed N] [--keep]` runs the targets with mutated
 * inputs of the corpus. Inputs that reach new code are mutated further; `--keep` saves them in the corpus.
 * Each target runs in its own thread.
 *
 * A finding is an input with which a target fails. The fuzzer shortens the input as long as the failure stays the
 * same, and writes it to `fuzz/corpus/TARGET/`. If there are findings, the exit code is 1.
 */

import process from 'node:process'
import { parseArgs } from 'node:util'
import { Worker } from 'node:worker_threads'
import { keep } from './corpus.js'
import type { Target } from './target.js'
import { TARGETS } from './targets/index.js'
import type { Order, Report } from './worker.js'

// A target that works on one input for 30 s hangs. Usually an input takes about 1 ms, so even a slow and busy machine
// needs less time.
const HANG_MS = 30_000
const SHARED_BYTES = 65_536
// In Node.js 20, a worker thread does not inherit the TypeScript loader of the main thread. So the thread registers
// the loader again.
const WORKER = `
import('tsx/esm/api').then(({ register }) => {
  register()
  return import(${JSON.stringify(new URL('./worker.ts', import.meta.url).href)})
})`

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    inputs: { type: 'string' },
    seconds: { type: 'string' },
    seed: { type: 'string' },
    keep: { type: 'boolean', default: false },
  },
})

function number(name: 'inputs' | 'seconds' | 'seed'): number | undefined {
  const text = values[name]
  if (text === undefined) return undefined
  if (!/^\d{1,12}$/.test(text))
    fail(`--${name}: expected a whole number with at most 12 digits, got ${text}`)
  return Number(text)
}

function fail(line: string): never {
  console.error(line)
  process.exit(2)
}

async function fuzz(target: Target, order: Omit<Order, 'shared' | 'target'>): Promise<Report> {
  const shared = new SharedArrayBuffer(8 + SHARED_BYTES)
  const counter = new Int32Array(shared, 0, 2)
  const worker = new Worker(WORKER, {
    eval: true,
    workerData: { ...order, target: target.name, shared } satisfies Order,
  })
  const reportCurrentInput = (what: string, error: string): Report => {
    const input = Buffer.from(shared, 8, counter[1]).subarray()
    const finding = { file: keep(target, what, Buffer.from(input)), error }
    return { inputs: Atomics.load(counter, 0), places: 0, corpus: 0, findings: [finding] }
  }
  let last = -1
  let watch: NodeJS.Timeout | undefined
  try {
    return await new Promise<Report>((resolve) => {
      worker.once('message', resolve)
      worker.once('error', (error) => {
        resolve(reportCurrentInput('uncaught', error.stack ?? error.message))
      })
      watch = setInterval(() => {
        const now = Atomics.load(counter, 0)
        if (now === last && now > 0)
          resolve(reportCurrentInput('hang', `The input did not finish within ${HANG_MS} ms`))
        last = now
      }, HANG_MS)
    })
  } finally {
    clearInterval(watch)
    await worker.terminate()
  }
}

const wanted = positionals.map(
  (name) =>
    TARGETS.find((target) => target.name === name) ??
    fail(`${name}: expected one of ${TARGETS.map((target) => target.name).join(', ')}`),
)
const targets = wanted.length > 0 ? wanted : TARGETS
const inputs = number('inputs')
const seconds = number('seconds') ?? (inputs === undefined ? 60 : Infinity)
const seed = number('seed') ?? Math.floor(Math.random() * 2 ** 32)
const weights = targets.reduce((sum, { weight }) => sum + weight, 0)
console.log(`[fuzz] --seed ${seed}`)
for (const target of targets) {
  const startedAt = performance.now()
  const report = await fuzz(target, {
    seed,
    inputs: inputs === undefined ? Infinity : Math.ceil((inputs * target.weight) / weights),
    seconds: seconds / targets.length,
    shouldKeep: values.keep,
  })
  const rate = Math.round(report.inputs / ((performance.now() - startedAt) / 1000))
  console.log(
    `[fuzz] ${target.name}: ${report.inputs} inputs, ${rate}/s, ${report.corpus} in the corpus`,
  )
  for (const { file, error } of report.findings) {
    process.exitCode = 1
    console.log(`[fuzz] ${target.name}: fuzz/corpus/${file}\n${error}`)
  }
}
