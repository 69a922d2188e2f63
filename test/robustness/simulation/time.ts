/** A simulated clock that replaces the process's timers. Time passes only in `pass`. */
export type Time = {
  readonly now: () => number
  after(ms: number, run: () => void): void
  /** Number of timers that have not fired yet. */
  pending(): number
  /** Lets time pass. Due timers run in order; after each, pending promises and immediates run too. */
  pass(ms: number): Promise<void>
  /** Restores the process's own timers. */
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
