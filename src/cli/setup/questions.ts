import { SetupFailure } from './setup-failure.js'
import type { SetupFlags } from './setup-flags.js'
import type { SetupIo } from './setup-io.js'

/** Asks whether to continue, unless --yes is set. @throws SetupFailure if the answer is no. */
export async function confirm(question: string, { yes }: SetupFlags, io: SetupIo): Promise<void> {
  if (yes || /^(y|yes)?$/i.test(await io.ask(`${question} [Y/n] `))) return
  throw new SetupFailure('Nothing was changed.')
}

/**
 * Returns whether setup may restart Prosody: with --restart, or after a question.
 *
 * @param reason Printed before the question.
 */
export async function mayRestart(
  { restart, yes }: SetupFlags,
  io: SetupIo,
  reason?: string,
): Promise<boolean> {
  if (restart) return true
  if (yes) return false
  if (reason !== undefined) io.print(reason)
  const answer = await io.ask('Restart Prosody now? This disconnects every user. [y/N] ')
  return /^(y|yes)$/i.test(answer)
}
