/** Fuzzes one target in a worker thread, which the main thread can terminate if the target hangs. */

import { setImmediate } from 'node:timers/promises'
import { parentPort, workerData } from 'node:worker_threads'
import { keep, readCorpus } from './corpus.js'
import { startCoverage } from './coverage.js'
import { mutate } from './mutate.js'
import { stopPython } from './python.js'
import { createRandom } from '../test/support/random.js'
import type { Target } from './target.js'
import { TARGETS } from './targets/index.js'

export type Order = {
  readonly target: string
  readonly seed: number
  readonly inputs: number
  readonly seconds: number
  /** Whether inputs that reach new code are written to the corpus. */
  readonly shouldKeep: boolean
  /**
   * Memory that the worker thread shares with the main thread: the number of inputs so far (4 bytes), the length of
   * the current input (4 bytes), and the bytes of the current input.
   */
  readonly shared: SharedArrayBuffer
}

export type Report = {
  readonly inputs: number
  readonly places: number
  readonly corpus: number
  readonly findings: readonly { readonly file: string; readonly error: string }[]
}

const BATCH_MS = 500
const MAX_GUIDED_MS = 30_000
const MAX_BATCH = 20_000
const MAX_FINDINGS = 5
const MAX_CORPUS = 400

async function fuzz(target: Target, order: Order): Promise<Report> {
  const random = createRandom(order.seed)
  const words = target.words.map((word) => Buffer.from(word))
  const counter = new Int32Array(order.shared, 0, 2)
  const currentInput = Buffer.from(order.shared, 8)
  const saved = readCorpus(target).map(({ input }) => input)
  const corpus = [...target.seeds.map((seed) => Buffer.from(seed as string)), ...saved]
  const coverage = startCoverage()
  const findings = new Map<string, { file: string; error: string }>()
  const endsAt = performance.now() + order.seconds * 1000
  // V8's code coverage selects inputs only in the first quarter of the time, and for at most MAX_GUIDED_MS. Reading the
  // coverage takes 0.1 s, and recording it slows down all code.
  const guidedUntil = performance.now() + Math.min(order.seconds * 250, MAX_GUIDED_MS)
  let inputs = 0
  let places = 0

  async function run(input: Buffer): Promise<unknown> {
    counter[1] = input.copy(currentInput)
    Atomics.add(counter, 0, 1)
    try {
      const running = target.run(input)
      if (running) await running
    } catch (error) {
      return error
    }
    return undefined
  }

  async function runAll(batch: readonly Buffer[]): Promise<void> {
    for (const input of batch) {
      const error = await run(input)
      if (error === undefined) continue
      const cause = causeOf(error)
      if (findings.has(cause)) continue
      const small = await minimize(input, async (smaller) => {
        const again = await run(smaller)
        return again !== undefined && causeOf(again) === cause
      })
      const shown = error instanceof Error ? (error.stack ?? error.message) : 'not an Error'
      findings.set(cause, { file: keep(target, slug(cause), small), error: shown })
    }
  }

  /**
   * Finds the inputs of a batch that reach new code, by bisection. Reading the code coverage takes as long as running
   * many inputs, so reading it after each input would be too slow.
   */
  async function searchNewCode(batch: readonly Buffer[], mark: number): Promise<void> {
    for (const input of batch) await run(input)
    const fresh = coverage.take().length
    if (fresh === 0 || corpus.length >= MAX_CORPUS || performance.now() > guidedUntil) return
    if (batch.length === 1) {
      corpus.push(batch[0]!)
      places += fresh
      if (order.shouldKeep) keep(target, 'reaches', batch[0]!)
      return
    }
    coverage.forgetSince(mark)
    const middle = batch.length >> 1
    await searchNewCode(batch.slice(0, middle), mark)
    await searchNewCode(batch.slice(middle), coverage.mark())
  }

  await runAll(corpus)
  places += coverage.take().length
  let size = 64
  while (inputs < order.inputs && performance.now() < endsAt && findings.size < MAX_FINDINGS) {
    const startedAt = performance.now()
    const mark = coverage.mark()
    const batch = Array.from({ length: Math.min(size, order.inputs - inputs) }, () =>
      mutate(random.pick(corpus), random, corpus, words),
    )
    await runAll(batch)
    // The inputs can leave pending callbacks, which can also throw. They run before the next batch of inputs.
    await setImmediate()
    inputs += batch.length
    const rate = batch.length / (performance.now() - startedAt)
    size = Math.min(MAX_BATCH, Math.ceil(rate * BATCH_MS))
    if (performance.now() > guidedUntil) coverage.stop()
    else if (coverage.take().length > 0) {
      coverage.forgetSince(mark)
      await searchNewCode(batch, mark)
    }
  }
  await target.stop?.()
  await stopPython()
  return { inputs, places, corpus: corpus.length, findings: [...findings.values()] }
}

/**
 * Returns a text that is equal for errors with the same cause: the class, the message without details, and the location
 * in the code, except for a Finding. The fuzzer reports only one finding for each cause.
 */
function causeOf(error: unknown): string {
  if (!(error instanceof Error)) return 'not an Error'
  const where = /\/((?:src|fuzz|node_modules)\/[^:\s]+):(\d+)/.exec(error.stack ?? '')
  const message = error.message.split(/[:"'`\d]/)[0]!.slice(0, 60)
  return `${error.name} ${message} ${error.name === 'Finding' ? '' : (where?.[1] ?? '')}`
}

function slug(text: string): string {
  return text.replace(/[^a-z0-9]+/gi, '-').replace(/^-|-$/g, '').toLowerCase().slice(0, 60) // prettier-ignore
}

/** Removes parts of an input, larger parts first, as long as the error stays the same. */
async function minimize(
  input: Buffer,
  isSame: (smaller: Buffer) => Promise<boolean>,
): Promise<Buffer> {
  let small = input
  let tries = 2000
  for (
    let size = Math.ceil(small.length / 2);
    size > 0;
    size = size === 1 ? 0 : Math.ceil(size / 2)
  ) {
    for (let at = 0; at < small.length && tries > 0; tries--) {
      const smaller = Buffer.concat([small.subarray(0, at), small.subarray(at + size)])
      if (await isSame(smaller)) small = smaller
      else at += size
    }
  }
  return small
}

const order = workerData as Order
const target = TARGETS.find(({ name }) => name === order.target)!
parentPort!.postMessage(await fuzz(target, order))
