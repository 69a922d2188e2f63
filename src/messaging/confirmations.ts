import { createHash, timingSafeEqual } from 'node:crypto'
import { AnswerError } from './answer-error.js'

const VALID_MS = 120_000
/** With three guesses in a quarter of an hour, and five of a million codes, a forger needs about two years. */
const MAX_WRONG = 3
const BLOCKED_MS = 15 * 60_000
const CODES = 1_000_000
const MAX_PENDING = 5

const BLOCKED =
  'There were too many wrong codes. Another sender may have sent them in your name. Try again in at most 15 minutes.'
const NO_CODE = 'A code has six digits. Write "yes" and the code, for example: yes 012345'
const NOTHING =
  'No request waits for this code. A code is valid for 2 minutes, and only once. Repeat the request.'
const UNKNOWN =
  'No request has this code. Copy the code from the answer that describes what you want.'
const RUNNING = 'The exporter is already carrying out this request. Wait for its answer.'

type PendingAction<T> = {
  readonly action: T
  readonly code: string
  readonly expiresAtMs: number
  isRunning: boolean
}

export type Confirmations<T> = ReturnType<typeof createConfirmations<T>>

/**
 * Stores the actions that people have to confirm with a code. The exporter sends the code to the person. Another
 * component with `validate_from_addresses = false` can send in the name of the person, but it does not receive the code.
 * Each code belongs to one action, so such a component cannot replace the action that the person confirms.
 *
 * @param options.now Returns the time in monotonic milliseconds.
 * @param options.random Returns an unpredictable integer that is at least 0 and less than the argument.
 */
export function createConfirmations<T>(options: {
  readonly now: () => number
  readonly random: (end: number) => number
}) {
  const { now, random } = options
  /** The actions of each person, the oldest first. */
  const pending = new Map<string, readonly PendingAction<T>[]>()
  /** The wrong codes of each person. A new action does not reset them, because a forger can also start actions. */
  const wrong = new Map<string, { readonly count: number; readonly atMs: number }>()

  function countWrong(person: string): number {
    const known = wrong.get(person)
    return known && now() - known.atMs < BLOCKED_MS ? known.count : 0
  }

  /** @throws {AnswerError} if the person can confirm nothing now, after too many wrong codes */
  function assertNotBlocked(person: string): void {
    if (countWrong(person) >= MAX_WRONG) throw new AnswerError(BLOCKED)
  }

  const listPending = (person: string) =>
    (pending.get(person) ?? []).filter(({ expiresAtMs }) => now() < expiresAtMs)

  /** Returns the action of a right code. @throws {AnswerError} */
  function find(person: string, code: string): PendingAction<T> {
    assertNotBlocked(person)
    const all = listPending(person)
    pending.set(person, all)
    if (all.length === 0) throw new AnswerError(NOTHING)
    const found = all.find((each) => isEqual(code, each.code))
    if (found) return found
    wrong.set(person, { count: countWrong(person) + 1, atMs: now() })
    assertNotBlocked(person)
    throw new AnswerError(UNKNOWN)
  }

  function createCode(others: readonly PendingAction<T>[]): string {
    const code = String(random(CODES)).padStart(6, '0')
    return others.some((each) => each.code === code) ? createCode(others) : code
  }

  return {
    assertNotBlocked,

    /** Stores the action. The oldest action of a person with too many of them is removed. @returns The code. */
    add(person: string, action: T): string {
      const others = listPending(person).slice(1 - MAX_PENDING)
      const code = createCode(others)
      const added = { action, code, expiresAtMs: now() + VALID_MS, isRunning: false }
      pending.set(person, [...others, added])
      return code
    },

    /**
     * Carries out the action of the code. After a failure, the person can repeat the code until it expires. Two messages
     * with the code at the same time do not carry out the action twice.
     *
     * @throws {AnswerError} and the errors of `carryOut`
     */
    async confirm<R>(
      person: string,
      code: string,
      carryOut: (action: T) => Promise<R>,
    ): Promise<R> {
      const found = find(person, code)
      if (found.isRunning) throw new AnswerError(RUNNING)
      wrong.delete(person)
      found.isRunning = true
      try {
        const result = await carryOut(found.action)
        pending.set(
          person,
          listPending(person).filter((each) => each !== found),
        )
        return result
      } finally {
        found.isRunning = false
      }
    },

    /** Returns for how many milliseconds the person can still confirm an action. */
    getRemainingMs(person: string, code: string): number {
      const found = listPending(person).find((each) => isEqual(code, each.code))
      return found ? found.expiresAtMs - now() : 0
    },
  }
}

/** Reads the code that a person has written, with a full stop or in two groups of digits. @throws {AnswerError} */
export function parseCode(text: string): string {
  const code = text.replace(/\s|\.$/g, '')
  if (/^\d{6}$/.test(code)) return code
  throw new AnswerError(NO_CODE)
}

/** Compares two texts in a time that does not depend on their characters. */
function isEqual(a: string, b: string): boolean {
  const digest = (text: string) => createHash('sha256').update(text).digest()
  return timingSafeEqual(digest(a), digest(b))
}
