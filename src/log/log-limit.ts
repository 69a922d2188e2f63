import type { Fields, Log } from './log.js'

// Each incident is logged, but a message that repeats at every scrape or dial does not fill the disk.
const PAUSE_MS = 60_000
const LONGEST_PAUSE_MS = 3_600_000

type Now = () => number

/**
 * Creates a function that allows one line of each kind per minute.
 *
 * @returns The number of suppressed lines since the last allowed one; undefined if this line is suppressed.
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

export type Problem = {
  /** A key from a limited set. A text of the peer would make the set unlimited. */
  readonly kind: string
  readonly level: 'warn' | 'error'
  readonly message: string
  readonly fields: Fields
  /** The details of the problem. If they change, they are logged again. Default: empty. */
  readonly detail?: string
}

export type ProblemLog = {
  /** @returns Whether the problem was logged. If not, the caller logs it at the level debug. */
  problem(problem: Problem): boolean
  /** Logs that the problem is over, at the level info if the problem was logged. */
  recovered(message: string, fields: Fields): void
}

/**
 * Creates a log for the problems of one stream or collector. It logs the beginning of a problem, at most once per minute
 * for each kind, and the recovery. If the details of the same problem change, it logs them after one minute, then two,
 * up to an hour. The field `suppressed` is the number of suppressed lines. The level debug has all lines.
 */
export function createProblemLog(log: Log, now: Now): ProblemLog {
  const allow = createKindLimit(now)
  let current: string | undefined
  // The last line about the current kind, and the number of earlier ones.
  let written:
    { readonly detail: string; readonly atMs: number; readonly times: number } | undefined
  // Whether a line was written since the last recovery.
  let isOpen = false

  /** Whether the log already has this problem, or its details changed too soon. */
  function isLogged(detail: string): boolean {
    if (!written) return false
    const pauseMs = Math.min(PAUSE_MS * 2 ** written.times, LONGEST_PAUSE_MS)
    return detail === written.detail || now() - written.atMs < pauseMs
  }

  return {
    problem({ kind, level, message, fields, detail = '' }) {
      if (kind !== current) written = undefined
      current = kind
      if (isLogged(detail)) return false
      const suppressed = allow(kind)
      if (suppressed === undefined) return false
      written = { detail, atMs: now(), times: (written?.times ?? -1) + 1 }
      isOpen = true
      log[level](message, withCount(fields, suppressed))
      return true
    },
    recovered(message, fields) {
      if (current !== undefined) log[isOpen ? 'info' : 'debug'](message, fields)
      current = undefined
      written = undefined
      isOpen = false
    },
  }
}

/**
 * Limits warnings and errors to one per minute for each message, for events that a client can cause with every request.
 * Suppressed lines have the level debug.
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
