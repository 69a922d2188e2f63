import { getErrorMessage } from '../errors.js'
import type { Log } from '../log/log.js'
import type { Schedule } from '../xmpp/schedule.js'

export type CheckQueueOptions<Result> = {
  /**
   * Checks one name. `undefined` means that the state is unknown. When `signal` aborts, the promise has to settle, and its
   * result counts.
   */
  readonly check: (name: string, signal: AbortSignal) => Promise<Result | undefined>
  readonly log: Log
  readonly schedule: Schedule
  /** How many checks run at a time. Default: 8. */
  readonly maxConcurrent?: number
}

/** Runs checks, each name at most once at a time. */
export type CheckQueue<Result> = {
  /**
   * Checks a name as soon as fewer checks run, or joins a check of this name that waits or runs.
   *
   * @param isUrgent Whether the check begins before all others that wait.
   * @returns The result; `undefined` if the state is unknown, the check failed, or it was cancelled before it began.
   */
  add(name: string, isUrgent?: boolean): Promise<Result | undefined>
  /** Whether a check of the name waits or runs. */
  has(name: string): boolean
  /** Cancels a check that waits, and aborts one that runs. */
  cancel(name: string): void
  /** Starts no more checks. */
  stop(): void
  /** Waits until no check runs. */
  close(): Promise<void>
}

type QueuedCheck<Result> = {
  readonly name: string
  readonly promise: Promise<Result | undefined>
  readonly resolve: (result: Result | undefined) => void
  readonly controller: AbortController
}

// A check has many parts with a time-out each, and may wait for the limit of connections. This ends a check whose peer uses
// up all of them.
const DEADLINE_MS = 600_000

export function createCheckQueue<Result>(options: CheckQueueOptions<Result>): CheckQueue<Result> {
  const { schedule, log, maxConcurrent = 8 } = options
  const checks = new Map<string, QueuedCheck<Result>>()
  let waiting: readonly QueuedCheck<Result>[] = []
  const running = new Map<QueuedCheck<Result>, Promise<void>>()
  let isStopped = false

  function startWaiting(): void {
    while (!isStopped && running.size < maxConcurrent) {
      const [next, ...others] = waiting
      if (!next) return
      waiting = others
      running.set(next, run(next))
    }
  }

  async function run(check: QueuedCheck<Result>): Promise<void> {
    const { name, controller } = check
    const cancelDeadline = schedule(DEADLINE_MS, () => {
      controller.abort()
    })
    let result: Result | undefined
    try {
      result = await options.check(name, controller.signal)
    } catch (error) {
      log.error('a check from outside failed; this is a bug in the exporter, please report it', {
        name,
        error: getErrorMessage(error),
      })
    }
    cancelDeadline()
    running.delete(check)
    remove(check)
    check.resolve(result)
    startWaiting()
  }

  /** Removes a check, unless a later one has taken its place after `cancel`. */
  function remove(check: QueuedCheck<Result>): void {
    if (checks.get(check.name) === check) checks.delete(check.name)
    waiting = waiting.filter((each) => each !== check)
  }

  function cancel(name: string): void {
    const check = checks.get(name)
    if (!check) return
    remove(check)
    check.controller.abort()
    if (!running.has(check)) check.resolve(undefined)
  }

  return {
    add(name, isUrgent = false) {
      const check = checks.get(name) ?? createQueuedCheck<Result>(name)
      if (running.has(check)) return check.promise
      if (isUrgent || !checks.has(name)) {
        const others = waiting.filter((each) => each !== check)
        waiting = isUrgent ? [check, ...others] : [...others, check]
      }
      checks.set(name, check)
      startWaiting()
      return check.promise
    },
    has: (name) => checks.has(name),
    cancel,
    stop() {
      isStopped = true
      for (const name of [...checks.keys()]) cancel(name)
    },
    async close() {
      await Promise.all(running.values())
    },
  }
}

function createQueuedCheck<Result>(name: string): QueuedCheck<Result> {
  let resolve: (result: Result | undefined) => void = () => {}
  const promise = new Promise<Result | undefined>((settle) => {
    resolve = settle
  })
  return { name, promise, resolve, controller: new AbortController() }
}
