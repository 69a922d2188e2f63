import { createHash, timingSafeEqual } from 'node:crypto'

const VALID_MS = 120_000
/** Three wrong codes per quarter of an hour and a million codes: to guess a code takes years. */
const MAX_WRONG = 3
const BLOCKED_MS = 15 * 60_000
const CODES = 1_000_000

type PendingAction<T> = {
  readonly action: T
  readonly code: string
  readonly expiresAtMs: number
}

/** The result of a code: the confirmed action, or why there is none. */
export type Confirmation<T> =
  | { readonly outcome: 'confirmed'; readonly action: T }
  | { readonly outcome: 'wrong' | 'blocked' | 'nothing' }

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

  return {
    /** Whether the person can confirm nothing now, after too many wrong codes. */
    isBlocked,

    /** Stores the action, in place of the previous one of this person. @returns The code. */
    add(person: string, action: T): string {
      const code = String(random(CODES)).padStart(6, '0')
      pending.set(person, { action, code, expiresAtMs: now() + VALID_MS })
      return code
    },

    /** Takes the action if the code is right. */
    confirm(person: string, code: string): Confirmation<T> {
      if (isBlocked(person)) return { outcome: 'blocked' }
      const found = pending.get(person)
      if (!found || now() >= found.expiresAtMs) {
        pending.delete(person)
        return { outcome: 'nothing' }
      }
      if (isEqual(code, found.code)) {
        pending.delete(person)
        wrong.delete(person)
        return { outcome: 'confirmed', action: found.action }
      }
      wrong.set(person, { count: countWrong(person) + 1, atMs: now() })
      if (!isBlocked(person)) return { outcome: 'wrong' }
      pending.delete(person)
      return { outcome: 'blocked' }
    },
  }
}

/** Compares two texts in a time that does not depend on their characters. */
function isEqual(a: string, b: string): boolean {
  const digest = (text: string) => createHash('sha256').update(text).digest()
  return timingSafeEqual(digest(a), digest(b))
}
