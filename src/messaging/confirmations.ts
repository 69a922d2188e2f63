import { createHash, timingSafeEqual } from 'node:crypto'
import { AnswerError } from './answer-error.js'

const VALID_MS = 120_000
/** Three wrong codes per quarter of an hour and a million codes: to guess a code takes years. */
const MAX_WRONG = 3
const BLOCKED_MS = 15 * 60_000
const CODES = 1_000_000

const BLOCKED = 'There were too many wrong codes. Try again in 15 minutes.'
const NOTHING =
  'No request waits for this code. A code is valid for 2 minutes, and only once. Repeat the request.'
const WRONG = 'This code is wrong. Write "yes" and the code of your last request.'
const RUNNING = 'The exporter is already carrying out this request. Wait for its answer.'

type PendingAction<T> = {
  readonly action: T
  readonly code: string
  readonly expiresAtMs: number
  isRunning: boolean
}

export type Confirmations<T> = ReturnType<typeof createConfirmations<T>>

/**
 * Stores the action that each person has to confirm with a code. The exporter sends the code to the person. Another
 * component with `validate_from_addresses = false` can send in the name of the person, but it does not receive the code.
 *
 * @param options.now Returns the time in monotonic milliseconds.
 * @param options.random Returns an unpredictable integer that is at least 0 and less than the argument.
 */
export function createConfirmations<T>(options: {
  readonly now: () => number
  readonly random: (end: number) => number
}) {
  const { now, random } = options
  const pending = new Map<string, PendingAction<T>>()
  /** The wrong codes of each person. A new action does not reset them, because a forger can also start actions. */
  const wrong = new Map<string, { readonly count: number; readonly atMs: number }>()

  function countWrong(person: string): number {
    const known = wrong.get(person)
    return known && now() - known.atMs < BLOCKED_MS ? known.count : 0
  }
  const isBlocked = (person: string) => countWrong(person) >= MAX_WRONG

  /** Returns the action of a right code. @throws {AnswerError} */
  function find(person: string, code: string): PendingAction<T> {
    if (isBlocked(person)) throw new AnswerError(BLOCKED)
    const found = pending.get(person)
    if (!found || now() >= found.expiresAtMs) {
      pending.delete(person)
      throw new AnswerError(NOTHING)
    }
    if (isEqual(code, found.code)) return found
    wrong.set(person, { count: countWrong(person) + 1, atMs: now() })
    if (!isBlocked(person)) throw new AnswerError(WRONG)
    pending.delete(person)
    throw new AnswerError(BLOCKED)
  }

  return {
    /** @throws {AnswerError} if the person can confirm nothing now, after too many wrong codes */
    assertNotBlocked(person: string): void {
      if (isBlocked(person)) throw new AnswerError(BLOCKED)
    },

    /** Stores the action, in place of the previous one of this person. @returns The code. */
    add(person: string, action: T): string {
      const code = String(random(CODES)).padStart(6, '0')
      pending.set(person, { action, code, expiresAtMs: now() + VALID_MS, isRunning: false })
      return code
    },

    /**
     * Carries out the action if the code is right. After a failure, the person can repeat the code until it expires. Two
     * messages with the code at the same time do not carry out the action twice.
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
        // Meanwhile, the person may have requested another action.
        if (pending.get(person) === found) pending.delete(person)
        return result
      } finally {
        found.isRunning = false
      }
    },
  }
}

/** Compares two texts in a time that does not depend on their characters. */
function isEqual(a: string, b: string): boolean {
  const digest = (text: string) => createHash('sha256').update(text).digest()
  return timingSafeEqual(digest(a), digest(b))
}
