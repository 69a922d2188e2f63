/** Runs a function once, after the delay. Returns a function that cancels it. Tests use their own clock. */
export type Schedule = (delayMs: number, run: () => void) => () => void

// With a longer delay, timers of Node.js fire immediately.
const LONGEST_MS = 2 ** 31 - 1

export const realTime: Schedule = (delayMs, run) => {
  const timer = setTimeout(run, Math.max(0, Math.min(delayMs, LONGEST_MS)))
  return () => {
    clearTimeout(timer)
  }
}
