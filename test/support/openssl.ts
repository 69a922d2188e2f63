import { execFile } from 'node:child_process'
import { promisify } from 'node:util'
import { findOpenssl } from './setup/programs.js'

/** Runs openssl from a Debian package, with which tests create certificates. */
export async function openssl(args: readonly string[], cwd?: string): Promise<void> {
  const { command, env } = await findOpenssl()
  await promisify(execFile)(command, args, { cwd, env })
}
