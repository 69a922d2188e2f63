import type { Fields, Log } from './log.js'

// One incident after another shows, and what happens at every scrape or dial does not fill a disk.
const PAUSE_MS = 60_000
const LONGEST_PAUSE_MS = 3_600_000

type Now = () => number

/** @returns For a kind whose turn it is, how many of it were held back since the last one. */
function createTurns(now: Now): (kind: string) => number | undefined {
  const kinds = new Map<string, { readonly atMs: number; heldBack: number }>()
  return (kind) => {
    const last = kinds.get(kind)
    if (last && now() - last.atMs < PAUSE_MS) {
      last.heldBack++
      return undefined
    }
    kinds.set(kind, { atMs: now(), heldBack: 0 })
    return last?.heldBack ?? 0
  }
}

const withCount = (fields: Fields, heldBack: number): Fields =>
  heldBack > 0 ? { ...fields, suppressed: heldBack } : fields

export type Problem = {
  /** A key of the program's own: never a text that the other side can choose. */
  readonly kind: string
  readonly level: 'warn' | 'error'
  readonly message: string
  readonly fields: Fields
  /** What is wrong in detail, where that is told once it changes. Default: nothing. */
  readonly detail?: string
}

export type ProblemLog = {
  /** @returns false where no line was written; what happened is for the level debug. */
  problem(problem: Problem): boolean
  /** It is right: a line if there was one about a problem. */
  recovered(message: string, fields: Fields): void
}

/**
 * The log of one thing that can be wrong: a stream, a collector. There is one line when a problem of a
 * kind begins, at most one a minute for each kind however often it comes and goes, and one when all is
 * right again. Another detail of the same kind is told after a minute, then after two, up to an hour.
 * The field `suppressed` counts the lines that were held back. The level debug has all.
 */
export function createProblemLog(log: Log, now: Now): ProblemLog {
  const turn = createTurns(now)
  let current: string | undefined
  // Of the present kind: what was written last, when, and how often.
  let written:
    { readonly detail: string; readonly atMs: number; readonly times: number } | undefined
  // A line was written since all was right.
  let isOpen = false

  /** Whether the present kind may need another line. */
  function isTold(detail: string): boolean {
    if (!written) return false
    const pauseMs = Math.min(PAUSE_MS * 2 ** written.times, LONGEST_PAUSE_MS)
    return detail === written.detail || now() - written.atMs < pauseMs
  }

  return {
    problem({ kind, level, message, fields, detail = '' }) {
      if (kind !== current) written = undefined
      current = kind
      if (isTold(detail)) return false
      const heldBack = turn(kind)
      if (heldBack === undefined) return false
      written = { detail, atMs: now(), times: (written?.times ?? -1) + 1 }
      isOpen = true
      log[level](message, withCount(fields, heldBack))
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
 * A log with at most one warning and one error a minute of each message: for what a client can make
 * happen with every request. What is held back has the level debug.
 */
export function limitRepeats(log: Log, now: Now = () => performance.now()): Log {
  const turn = createTurns(now)
  const limited =
    (level: 'warn' | 'error') =>
    (message: string, fields: Fields = {}) => {
      const heldBack = turn(`${level} ${message}`)
      if (heldBack === undefined) log.debug(message, fields)
      else log[level](message, withCount(fields, heldBack))
    }
  return { ...log, warn: limited('warn'), error: limited('error') }
}
