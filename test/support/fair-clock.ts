/**
 * A clock for time limits in tests that must also hold on slow and busy machines. On a machine that is slower than
 * the machine on which the limits were set, this clock runs more slowly by the same factor.
 */

import { Worker } from 'node:worker_threads'

// The clock runs in its own thread, so it also counts the time in which the event loop of this process is blocked.
const ticks = new Int32Array(new SharedArrayBuffer(4))
const worker = new Worker(
  `const { workerData: ms } = require('node:worker_threads')
  // This work takes about 10 ms on an idle core of 2024, and longer than one turn of the scheduler.
  const REFERENCE_MS = 10
  const work = () => {
    let x = 1
    for (let i = 0; i < 8e6; i++) x = (Math.imul(x, 1664525) + 1013904223) | 0
    return x
  }
  for (let i = 0; i < 3; i++) work()
  let tickedAt = performance.now()
  let left = 0
  setInterval(() => {
    const startedAt = performance.now()
    work()
    const now = performance.now()
    const slowness = Math.max(1, (now - startedAt) / REFERENCE_MS)
    // When even this thread was not scheduled, the time counts at most like one late tick.
    left += Math.min(now - tickedAt, 150) / slowness
    Atomics.add(ms, 0, Math.floor(left))
    left %= 1
    tickedAt = now
  }, 100)`,
  { eval: true, workerData: ticks },
)
worker.unref()

/** Milliseconds of this clock, with a resolution of about a tenth of a second. */
export const fairNow = (): number => Atomics.load(ticks, 0)
