/** A part of the exporter that processes bytes from outside, and a check that must hold for any bytes. */
export type Target = {
  readonly name: string
  /**
   * Determines how many of the inputs the target gets, relative to the weights of the other targets. A target that
   * takes longer for an input needs a lower weight.
   */
  readonly weight: number
  /** Inputs with which the fuzzer starts, in addition to the files in `fuzz/corpus`. */
  readonly seeds: readonly (string | Uint8Array)[]
  /** Words of the input language, which the fuzzer inserts at random positions. */
  readonly words: readonly string[]
  /** Processes an input, and throws or rejects if the target fails. */
  readonly run: (input: Buffer) => void | Promise<void>
  /** Releases sockets, timers and other resources of the target. */
  readonly stop?: () => void | Promise<void>
}

/** A check of `must` failed. An error of any other class is a crash of the tested code. */
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

/** Calls `run`, which may throw errors of the given classes. Any other error is a crash of the tested code. */
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

/** Throws `error` again if it is not an instance of one of the given classes. */
export function checkRefusal(
  kinds: readonly (abstract new (...args: never[]) => Error)[],
  error: unknown,
): void {
  if (!(error instanceof Error) || !kinds.some((kind) => error instanceof kind)) throw error
}
