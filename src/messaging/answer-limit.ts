const WINDOW_MS = 60_000
const MAX_ANSWERS = 10
/** How many texts that are no command get an answer in succession. */
const MAX_HINTS = 3
const HINTS_MS = 600_000

/** `notice`: the exporter says once that it does not answer now. `refused`: it sends nothing. */
export type Admission = 'admitted' | 'notice' | 'refused'

type PersonAnswers = {
  /** The times of the answers in the last minute. */
  times: number[]
  noticedAtMs: number
  hints: number
  hintedAtMs: number
}

export type AnswerLimit = ReturnType<typeof createAnswerLimit>

/**
 * Limits the answers to each person to ten per minute.
 *
 * @param now Returns the time in monotonic milliseconds.
 */
export function createAnswerLimit(now: () => number) {
  /** Only people in `chat.allow` have an entry, so the number of entries is limited. */
  const people = new Map<string, PersonAnswers>()

  function find(person: string): PersonAnswers {
    const known = people.get(person)
    if (known) return known
    const created = { times: [], noticedAtMs: -Infinity, hints: 0, hintedAtMs: -Infinity }
    people.set(person, created)
    return created
  }

  return {
    /** Counts an answer to the person, if the limit allows it. */
    admit(person: string): Admission {
      const answers = find(person)
      answers.times = answers.times.filter((atMs) => now() - atMs < WINDOW_MS)
      if (answers.times.length < MAX_ANSWERS) {
        answers.times.push(now())
        return 'admitted'
      }
      if (now() - answers.noticedAtMs < WINDOW_MS) return 'refused'
      answers.noticedAtMs = now()
      return 'notice'
    },
    /**
     * Whether the exporter should answer a text that is no command. A program that answers each message would otherwise
     * start a loop, so the exporter is silent after the third such text, until a command arrives or ten minutes pass.
     */
    admitHint(person: string): boolean {
      const answers = find(person)
      if (now() - answers.hintedAtMs >= HINTS_MS) answers.hints = 0
      if (answers.hints >= MAX_HINTS) return false
      answers.hints++
      answers.hintedAtMs = now()
      return true
    },
    /** Call this function when a command has arrived. */
    resetHints(person: string): void {
      find(person).hints = 0
    },
  }
}
