/** Time that stands still but for `pass`, in place of the process's timers. */
export type Time = {
  readonly now: () => number
  after(ms: number, run: () => void): void
  /** Timers that are still to fire. */
  pending(): number
  /** Lets time pass; what is due runs in order, and all that it sets off at once after each. */
  pass(ms: number): Promise<void>
  /** Gives the process its own timers back. */
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

  function next(): Timer | undefined {
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
      for (let timer = next(); timer && timer.atMs <= end; timer = next()) {
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
