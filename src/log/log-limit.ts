import type { Fields, Log } from './log.js'

// A message that repeats at every scrape or reconnection must not fill the disk. Therefore, the log has at most one
// line per minute about a kind of problem. If the details of one problem change again and again, the pause grows to one
// hour.
const PAUSE_MS = 60_000
const LONGEST_PAUSE_MS = 3_600_000

type Now = () => number

/**
 * Creates a function that allows one log line of each kind per minute.
 *
 * @returns A function that returns undefined if the line has to be suppressed. Otherwise it returns how many lines of
 *   this kind were suppressed since the last allowed line.
 */
function createKindLimit(now: Now): (kind: string) => number | undefined {
  const kinds = new Map<string, { readonly atMs: number; suppressed: number }>()
  return (kind) => {
    const last = kinds.get(kind)
    if (last && now() - last.atMs < PAUSE_MS) {
      last.suppressed++
      return undefined
    }
    kinds.set(kind, { atMs: now(), suppressed: 0 })
    return last?.suppressed ?? 0
  }
}

const withCount = (fields: Fields, suppressed: number): Fields =>
  suppressed > 0 ? { ...fields, suppressed } : fields

type Problem = {
  /** What kind of problem this is. Memory is used for each kind, so do not use texts from a server as kinds. */
  readonly kind: string
  readonly level: 'warn' | 'error'
  readonly message: string
  readonly fields: Fields
  /** The details of the problem. If the details change, the problem is logged again. Default: empty. */
  readonly detail?: string
}

export type ProblemLog = {
  /** @returns Whether this function logged the problem. If not, the caller logs the problem at the level debug. */
  problem(problem: Problem): boolean
  /** Logs that the problem is over. The level is info if the problem was logged, and debug otherwise. */
  recovered(message: string, fields: Fields): void
}

/**
 * Creates a log for the problems of one stream or one collector. It logs the beginning of a problem, at most once per
 * minute for each kind, and the recovery. If only the details of a problem change, it logs them again after one minute,
 * then after two minutes, up to an hour. The field `suppressed` has the number of suppressed lines.
 */
export function createProblemLog(log: Log, now: Now): ProblemLog {
  const allow = createKindLimit(now)
  let current: string | undefined
  // The last logged line about the current problem. `repeats` is the number of lines about this problem after the
  // first.
  let written:
    { readonly detail: string; readonly atMs: number; readonly repeats: number } | undefined
  let isLoggedSinceRecovery = false

  /** Whether the current problem was logged with the same details, or so recently that new details have to wait. */
  function isLogged(detail: string): boolean {
    if (!written) return false
    const pauseMs = Math.min(PAUSE_MS * 2 ** written.repeats, LONGEST_PAUSE_MS)
    return detail === written.detail || now() - written.atMs < pauseMs
  }

  return {
    problem({ kind, level, message, fields, detail = '' }) {
      if (kind !== current) written = undefined
      current = kind
      if (isLogged(detail)) return false
      const suppressed = allow(kind)
      if (suppressed === undefined) return false
      written = { detail, atMs: now(), repeats: (written?.repeats ?? -1) + 1 }
      isLoggedSinceRecovery = true
      log[level](message, withCount(fields, suppressed))
      return true
    },
    recovered(message, fields) {
      if (current !== undefined) log[isLoggedSinceRecovery ? 'info' : 'debug'](message, fields)
      current = undefined
      written = undefined
      isLoggedSinceRecovery = false
    },
  }
}

/**
 * Returns a log that writes each warning and each error at most once per minute, for messages that an HTTP client
 * can cause with every request. The warnings and errors above this limit are logged at the level debug.
 */
export function limitRepeats(log: Log, now: Now = () => performance.now()): Log {
  const allow = createKindLimit(now)
  const limited =
    (level: 'warn' | 'error') =>
    (message: string, fields: Fields = {}) => {
      const suppressed = allow(`${level} ${message}`)
      if (suppressed === undefined) log.debug(message, fields)
      else log[level](message, withCount(fields, suppressed))
    }
  return { ...log, warn: limited('warn'), error: limited('error') }
}
