/** Code that processes bytes from outside, and the properties that must hold for any bytes. */
export type Target = {
  readonly name: string
  /** Share of the inputs relative to other targets. Use a lower weight if an input takes longer. */
  readonly weight: number
  /** Initial inputs, in addition to the corpus. */
  readonly seeds: readonly (string | Uint8Array)[]
  /** Words of the input language, which the fuzzer inserts at random positions. */
  readonly words: readonly string[]
  /** Throws or rejects if a property does not hold for this input. */
  readonly run: (input: Buffer) => void | Promise<void>
  /** Releases the resources of the target. */
  readonly stop?: () => void | Promise<void>
}

/** A violated property. Any other error is a crash of the tested code. */
export class Finding extends Error {
  override name = 'Finding'
}

/**
 * Checks a property of the tested code.
 *
 * @param what The property that must hold.
 * @throws {Finding} The property does not hold.
 */
export function must(holds: boolean, what: string): asserts holds {
  if (!holds) throw new Finding(what)
}

/** Calls a function that may reject its input with errors of these classes, but with no others. */
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

/** Rethrows an error that is not an instance of one of these classes. */
export function checkRefusal(
  kinds: readonly (abstract new (...args: never[]) => Error)[],
  error: unknown,
): void {
  if (!(error instanceof Error) || !kinds.some((kind) => error instanceof kind)) throw error
}
