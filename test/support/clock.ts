import type { Schedule } from '../../src/xmpp/schedule.js'

export type Clock = {
  readonly now: () => number
  readonly schedule: Schedule
  /** Lets time pass, and runs what is due, in order. */
  advance(ms: number): void
  /** Timers that are still to fire. */
  pending(): number
  /** How long until the next one; NaN when there is none. */
  nextMs(): number
}

/** Time that stands still until a test moves it. */
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
