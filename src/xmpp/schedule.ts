/** Calls `run` once, after the delay. Returns a function that cancels the call. Tests use a simulated clock. */
export type Schedule = (delayMs: number, run: () => void) => () => void

// The longest delay of a timer in Node.js. A timer with a longer delay fires after 1 ms.
const LONGEST_MS = 2 ** 31 - 1

export const realTime: Schedule = (delayMs, run) => {
  const timer = setTimeout(run, Math.max(0, Math.min(delayMs, LONGEST_MS)))
  return () => {
    clearTimeout(timer)
  }
}
