import { Worker } from 'node:worker_threads'

// In a thread of its own: that our event loop is held up is to be seen, and that the machine was
// suspended, or so busy that nobody ran, is not.
const ticks = new Int32Array(new SharedArrayBuffer(4))
const worker = new Worker(
  `const { workerData: ms } = require('node:worker_threads')
  let tickedAt = performance.now()
  setInterval(() => {
    const now = performance.now()
    Atomics.add(ms, 0, Math.round(Math.min(now - tickedAt, 100)))
    tickedAt = now
  }, 20)`,
  { eval: true, workerData: ticks },
)
worker.unref()

/** Milliseconds on a clock that counts no time in which not even a sleeping thread was woken. */
export const fairNow = (): number => Atomics.load(ticks, 0)
