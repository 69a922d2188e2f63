/** Runs something once, later; what it returns calls that off. Tests hand in a clock of their own. */
export type Schedule = (delayMs: number, run: () => void) => () => void

// Above this, Node's timers fire at once.
const LONGEST_MS = 2 ** 31 - 1

export const realTime: Schedule = (delayMs, run) => {
  const timer = setTimeout(run, Math.max(0, Math.min(delayMs, LONGEST_MS)))
  return () => {
    clearTimeout(timer)
  }
}
