import { createInterface } from 'node:readline/promises'
import type { Readable, Writable } from 'node:stream'
import { SetupFailure } from './setup-failure.js'

export const INTERRUPTED =
  'Setup was interrupted. Run it again to finish, or with --undo to remove what it wrote.'

/** The user pressed Ctrl-C or Ctrl-D at a question. */
export class SetupInterruption extends SetupFailure {
  constructor() {
    super(INTERRUPTED)
  }
}

/**
 * Asks a question on a terminal.
 *
 * @returns The answer, without spaces around it.
 * @throws SetupInterruption if the user presses Ctrl-C or Ctrl-D.
 */
export async function ask(
  streams: { readonly input: Readable; readonly output: Writable },
  question: string,
): Promise<string> {
  const terminal = createInterface(streams)
  const interrupted = new Promise<never>((_, reject) => {
    const interrupt = () => {
      // The message belongs on a line of its own, after the question.
      streams.output.write('\n')
      reject(new SetupInterruption())
    }
    // After Ctrl-D, readline closes, and the answer never arrives.
    terminal.on('SIGINT', interrupt).on('close', interrupt)
  })
  try {
    return (await Promise.race([terminal.question(question), interrupted])).trim()
  } finally {
    terminal.removeAllListeners().close()
  }
}
