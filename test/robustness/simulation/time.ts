/** A simulated clock that replaces the timers of the process. Time passes only while `pass` runs. */
export type Time = {
  readonly now: () => number
  after(ms: number, run: () => void): void
  /** Number of timers that have not fired yet. */
  pending(): number
  /** Advances the clock and runs the due timers in order. After each timer, pending promises and immediates also run. */
  pass(ms: number): Promise<void>
  /** Restores the real timers of the process. */
  end(): void
}

type Timer = { atMs: number; run: () => void }

const nextTurn = () => new Promise<void>((resolve) => setImmediate(resolve))

export function createTime(): Time {
  const real = { setTimeout: globalThis.setTimeout, clearTimeout: globalThis.clearTimeout }
  const timers = new Set<Timer>()
  let nowMs = 0

  const fakes = {
    setTimeout(run: (...args: unknown[]) => void, ms = 0, ...args: unknown[]) {
      const timer = {
        atMs: nowMs + Math.max(ms, 0),
        run: () => {
          run(...args)
        },
        unref: () => timer,
        ref: () => timer,
      }
      timers.add(timer)
      return timer
    },
    clearTimeout(timer: Timer | undefined) {
      if (timer) timers.delete(timer)
    },
  }
  Object.assign(globalThis, fakes)

  function nextTimer(): Timer | undefined {
    let first: Timer | undefined
    for (const timer of timers) if (!first || timer.atMs < first.atMs) first = timer
    return first
  }

  return {
    now: () => nowMs,
    after: (ms, run) => void fakes.setTimeout(run, ms),
    pending: () => timers.size,
    async pass(ms) {
      const end = nowMs + ms
      await nextTurn()
      for (let timer = nextTimer(); timer && timer.atMs <= end; timer = nextTimer()) {
        timers.delete(timer)
        nowMs = Math.max(nowMs, timer.atMs)
        timer.run()
        await nextTurn()
      }
      nowMs = end
    },
    end: () => Object.assign(globalThis, real),
  }
}
