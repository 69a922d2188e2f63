const WINDOW_MS = 60_000
const MAX_ANSWERS = 10
/** How many texts that are no command get an answer in succession. */
const MAX_HINTS = 3
const HINTS_MS = 600_000

/** `notice`: the exporter says that it does not answer more now. `refused`: it sends nothing. */
export type Admission = 'admitted' | 'notice' | 'refused'

type PersonAnswers = {
  /** The times of the answers in the last minute, with the notice. */
  times: number[]
  noticedAtMs: number
  hints: number
  hintedAtMs: number
}

export type AnswerLimit = ReturnType<typeof createAnswerLimit>

/**
 * Limits the answers to each person to ten per minute. Once a minute, one of them is the notice that there are no more.
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

  /** Determines the next answer to the person, without counting it. */
  function determine(answers: PersonAnswers): Admission {
    answers.times = answers.times.filter((atMs) => now() - atMs < WINDOW_MS)
    if (answers.times.length >= MAX_ANSWERS) return 'refused'
    const isNoticed = now() - answers.noticedAtMs < WINDOW_MS
    return isNoticed || answers.times.length < MAX_ANSWERS - 1 ? 'admitted' : 'notice'
  }

  return {
    /** Counts the answer to a message, if the limit allows one. */
    admitMessage(person: string): Admission {
      const answers = find(person)
      const admission = determine(answers)
      if (admission !== 'refused') answers.times.push(now())
      if (admission === 'notice') answers.noticedAtMs = now()
      return admission
    },
    /** Counts the result of a request (iq), if the limit allows one. Otherwise, the reply is an error, not the notice. */
    admitRequest(person: string): boolean {
      const answers = find(person)
      const isAdmitted = determine(answers) === 'admitted'
      if (isAdmitted) answers.times.push(now())
      return isAdmitted
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
