/** Something that takes bytes from outside, and what must hold whatever they are. */
export type Target = {
  readonly name: string
  /** Its share of the inputs, against that of the others: less where an input costs more. */
  readonly weight: number
  /** What to begin with, besides the corpus. */
  readonly seeds: readonly (string | Uint8Array)[]
  /** Words of its language, to be put in anywhere. */
  readonly words: readonly string[]
  /** Throws, or rejects, when what must hold does not. */
  readonly run: (input: Buffer) => void | Promise<void>
  /** Ends what it started. */
  readonly stop?: () => void | Promise<void>
}

/** What a target finds wrong; any other error is a crash of what is tested. */
export class Finding extends Error {
  override name = 'Finding'
}

/** @throws {Finding} */
export function must(holds: boolean, what: string): asserts holds {
  if (!holds) throw new Finding(what)
}

/** Calls what may refuse its input, with errors of these classes and no others. */
export function refusing<T>(
  kinds: readonly (abstract new (...args: never[]) => Error)[],
  run: () => T,
): T | undefined {
  try {
    return run()
  } catch (error) {
    checkRefusal(kinds, error)
    return undefined
  }
}

/** Throws again what is no refusal, an error of one of these classes. */
export function checkRefusal(
  kinds: readonly (abstract new (...args: never[]) => Error)[],
  error: unknown,
): void {
  if (!(error instanceof Error) || !kinds.some((kind) => error instanceof kind)) throw error
}
