/**
 * A clock for bounds in real time, which then hold on a machine of any speed: it runs slower in the
 * proportion in which the machine is slower, or busier, than the one on which the bounds were set.
 */

import { Worker } from 'node:worker_threads'

// A thread of its own, so that a blocked event loop of this process takes time like any other fault.
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
    // Time in which not even this thread was woken counts no more than a regular tick.
    left += Math.min(now - tickedAt, 150) / slowness
    Atomics.add(ms, 0, Math.floor(left))
    left %= 1
    tickedAt = now
  }, 100)`,
  { eval: true, workerData: ticks },
)
worker.unref()

/** Milliseconds on that clock, which is read to a tenth of a second. */
export const fairNow = (): number => Atomics.load(ticks, 0)
