/**
 * Milliseconds on a clock that counts no time in which this process did not run: on a busy machine, or
 * one that was suspended, nobody else has run either, and nothing is late for it.
 */
let ms = 0
let tickedAt = performance.now()
const TICK_MS = 10
setInterval(() => {
  const now = performance.now()
  ms += Math.min(now - tickedAt, 2 * TICK_MS)
  tickedAt = now
}, TICK_MS).unref()

export const fairNow = (): number => ms
