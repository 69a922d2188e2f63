import { createHash } from 'node:crypto'
import { createProblemLog } from '../log/log-limit.js'
import type { Log } from '../log/log.js'
import { createCheckQueue, type CheckQueueOptions } from './check-queue.js'

export type RoundsOptions<Result> = CheckQueueOptions<Result> & {
  /** Whether the check reached anything. Names that are never reached are checked less often. */
  readonly hasReached: (result: Result) => boolean
  /** Returns the part of a result that is stored as the last one. Default: all of it. */
  readonly toStored?: (result: Result) => Result
  /** Called after each check; with `undefined` if the state is unknown. */
  readonly onResult: (name: string, result: Result | undefined) => void
  /** Returns the time in monotonic milliseconds. */
  readonly now: () => number
}

export type LastResult<Result> = {
  readonly result: Result
  readonly endedAtMs: number
  /** From this time on, the result is too old to describe the present state. */
  readonly expiresAtMs: number
}

/** Checks each of many names once per interval. The checks are spread over the interval. */
export type Rounds<Result> = {
  /**
   * Sets the names and the interval. An interval of 0 means that only `checkNow` checks.
   *
   * @param isChanged Whether other settings have changed, so that all names are checked soon.
   */
  apply(names: readonly string[], intervalMs: number, isChanged?: boolean): void
  /** Checks a name now, or joins a check that waits or runs. Resolves to `undefined` if the check has no result. */
  checkNow(name: string): Promise<Result | undefined>
  /** Checks soon the names whose state is unknown. */
  checkUnknown(): void
  /** Returns the last result of a name, however old it is. */
  getLast(name: string): LastResult<Result> | undefined
  /** Starts no more checks, and ends the running ones. */
  stop(): void
  /** Waits until no check runs. */
  close(): Promise<void>
}

// After the start, the first round takes this long for each name, but not longer than the interval.
const FIRST_ROUND_MS = 1000
// A result is too old when the next checks are missing.
const MAX_AGE_INTERVALS = 3
// Without an interval, a result is valid for as long as with the default interval.
const DEFAULT_INTERVAL_MS = 300_000
// The first checks that reach nothing are repeated at the normal pace, so that the end of a short outage is seen soon.
const PATIENT_CHECKS = 3
const MAX_BACKOFF = 4

type Task<Result> = {
  readonly name: string
  /** The position in the interval at which the name is checked, from 0 to 1. */
  readonly phase: number
  /** When the next scheduled check is due, or the last one if it has not ended. */
  dueAtMs: number
  /** The number of checks in a row that reached nothing. */
  failures: number
  cancelTimer: () => void
  last: { readonly result: Result; readonly endedAtMs: number } | undefined
}

export function createRounds<Result>(options: RoundsOptions<Result>): Rounds<Result> {
  const { now, schedule, log, toStored = (result: Result) => result } = options
  const lateness = createLatenessLog(log, now)
  const queue = createCheckQueue({ ...options, check })
  const tasks = new Map<string, Task<Result>>()
  let intervalMs = 0

  async function check(name: string, signal: AbortSignal): Promise<Result | undefined> {
    const task = tasks.get(name)
    if (!task) return undefined
    if (intervalMs > 0) lateness.report(now() - task.dueAtMs, intervalMs)
    try {
      const result = await options.check(name, signal)
      // A reload may have removed the name.
      if (tasks.get(name) === task) handleResult(task, result)
      return result
    } finally {
      if (tasks.get(name) === task) scheduleNext(task)
    }
  }

  function handleResult(task: Task<Result>, result: Result | undefined): void {
    task.last = result === undefined ? undefined : { result: toStored(result), endedAtMs: now() }
    const hasFailed = result !== undefined && !options.hasReached(result)
    task.failures = hasFailed ? task.failures + 1 : 0
    options.onResult(task.name, result)
  }

  const getPeriod = ({ failures }: Task<Result>) => intervalMs * getBackoff(failures)

  /** A check at the request of a client does not move the next scheduled one, except that a success ends the back-off. */
  function scheduleNext(task: Task<Result>): void {
    if (intervalMs === 0) return
    const isScheduled = task.dueAtMs > now()
    const from = isScheduled ? now() : Math.max(task.dueAtMs, now() - intervalMs)
    const next = align(task.phase, intervalMs, from + getPeriod(task))
    setTimer(task, isScheduled ? Math.min(task.dueAtMs, next) : next)
  }

  /** Schedules the first check of a task soon, but those of many tasks not together. */
  function scheduleFirst(task: Task<Result>): void {
    const roundMs = Math.min(intervalMs, FIRST_ROUND_MS * tasks.size)
    setTimer(task, now() + task.phase * roundMs)
  }

  function setTimer(task: Task<Result>, dueAtMs: number): void {
    task.cancelTimer()
    if (intervalMs === 0) return
    task.dueAtMs = dueAtMs
    task.cancelTimer = schedule(dueAtMs - now(), () => {
      void queue.add(task.name)
    })
  }

  function remove({ name, cancelTimer }: Task<Result>): void {
    tasks.delete(name)
    cancelTimer()
    queue.cancel(name)
  }

  return {
    apply(names, nextIntervalMs, isChanged = false) {
      const isNew = intervalMs !== nextIntervalMs || isChanged
      intervalMs = nextIntervalMs
      const wanted = new Set(names)
      for (const task of [...tasks.values()]) if (!wanted.has(task.name)) remove(task)
      const added = names.filter((name) => !tasks.has(name)).map(createTask<Result>)
      for (const task of added) tasks.set(task.name, task)
      for (const task of isNew ? tasks.values() : added) scheduleFirst(task)
    },
    checkNow: async (name) => (tasks.has(name) ? queue.add(name, true) : undefined),
    checkUnknown() {
      for (const task of tasks.values()) {
        if (!task.last && !queue.has(task.name)) scheduleFirst(task)
      }
    },
    getLast(name) {
      const task = tasks.get(name)
      if (!task?.last) return undefined
      const maxAgeMs = MAX_AGE_INTERVALS * (getPeriod(task) || DEFAULT_INTERVAL_MS)
      return { ...task.last, expiresAtMs: task.last.endedAtMs + maxAgeMs }
    },
    stop() {
      for (const task of [...tasks.values()]) remove(task)
      queue.stop()
    },
    close: () => queue.close(),
  }
}

/** Returns the first time at or after `fromMs` that is at this phase of an interval. */
function align(phase: number, intervalMs: number, fromMs: number): number {
  const offset = Math.floor(phase * intervalMs)
  return Math.ceil((fromMs - offset) / intervalMs) * intervalMs + offset
}

/** Returns the factor by which the interval grows after checks that reached nothing. */
function getBackoff(failures: number): number {
  return Math.min(2 ** Math.max(0, failures - PATIENT_CHECKS), MAX_BACKOFF)
}

function createTask<Result>(name: string): Task<Result> {
  const cancelTimer = () => {}
  return { name, phase: computePhase(name), dueAtMs: 0, failures: 0, cancelTimer, last: undefined }
}

/** Returns a number from 0 to 1 that depends on the name alone, so that a reload does not move the checks of other names. */
function computePhase(name: string): number {
  return createHash('sha256').update(name).digest().readUInt32BE(0) / 2 ** 32
}

/** Creates a log that says when checks begin more than an interval late, because there are too many of them. */
function createLatenessLog(log: Log, now: () => number) {
  const problems = createProblemLog(log, now)
  return {
    report(lateMs: number, intervalMs: number): void {
      if (lateMs > intervalMs) {
        problems.problem({
          kind: 'late',
          level: 'warn',
          message:
            'The checks from outside take longer than outside.interval. Raise outside.interval, or add the addresses of your servers to outside.own_addresses.',
          fields: {},
        })
      } else if (lateMs < intervalMs / 2) {
        problems.recovered('the checks from outside are within outside.interval again', {})
      }
    },
  }
}
