import type { Schedule } from '../../src/xmpp/schedule.js'

export type Clock = {
  readonly now: () => number
  readonly schedule: Schedule
  /** Advances the time, and runs the timers that become due in the order of their times. */
  advance(ms: number): void
  /** The number of timers that have not fired yet. */
  pending(): number
  /** The milliseconds until the next timer fires; NaN if no timer is set. */
  nextMs(): number
}

/** Creates a clock for tests. Its time passes only when a test calls `advance`. */
export function createClock(): Clock {
  const timers = new Set<{ atMs: number; run: () => void }>()
  let nowMs = 1_000_000

  const next = () => [...timers].sort((a, b) => a.atMs - b.atMs)[0]

  return {
    now: () => nowMs,
    pending: () => timers.size,
    nextMs: () => (next()?.atMs ?? NaN) - nowMs,
    schedule(delayMs, run) {
      const timer = { atMs: nowMs + delayMs, run }
      timers.add(timer)
      return () => {
        timers.delete(timer)
      }
    },
    advance(ms) {
      const end = nowMs + ms
      for (let timer = next(); timer && timer.atMs <= end; timer = next()) {
        timers.delete(timer)
        nowMs = timer.atMs
        timer.run()
      }
      nowMs = end
    },
  }
}
