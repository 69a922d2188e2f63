import { spawn } from 'node:child_process'
import type { Env } from '../../config/read-settings.js'
import { SetupFailure } from './setup-failure.js'

export type ProgramResult = {
  /** The exit code; 1 if a signal ended the program. */
  readonly code: number
  readonly stdout: string
  /** Standard output and standard error, in the order in which they arrived. */
  readonly output: string
}

/**
 * Runs a program until it ends.
 *
 * @param options.input The standard input of the program. Default: empty.
 * @throws SetupFailure if the program cannot be started.
 */
export async function runProgram(
  command: string,
  args: readonly string[],
  options: { readonly env: Env; readonly input?: string },
): Promise<ProgramResult> {
  // A program in another session cannot ask on the terminal, and Ctrl-C does not stop it halfway.
  const child = spawn(command, args, { env: options.env, detached: true })
  let [stdout, output] = ['', '']
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    stdout += text
    output += text
  })
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    output += text
  })
  // A program that does not read its input may end before all of it is written.
  child.stdin.on('error', () => undefined).end(options.input ?? '')
  return await new Promise((resolve, reject) => {
    child.on('error', ({ message }) => {
      reject(new SetupFailure(`Cannot run ${command}: ${message}.`))
    })
    child.on('close', (code) => {
      resolve({ code: code ?? 1, stdout, output })
    })
  })
}
