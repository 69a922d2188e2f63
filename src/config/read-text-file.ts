import { closeSync, existsSync, fstatSync, openSync, readFileSync } from 'node:fs'
import { dirname } from 'node:path'
import { ConfigError } from '../errors.js'
import type { Given } from './given.js'
import { quote } from './quote.js'
import { isSecretMount } from './secret-mount.js'

const OTHERS_CAN_READ = 0o004

export type FileLimits = {
  readonly maxBytes: number
  /**
   * Whether the file contains a secret. Then a file that every user of the machine can read is refused, unless it
   * is on a secret mount. The message about a missing file does not show the given name, because it may be the
   * secret itself. Default: false.
   */
  readonly isSecret?: boolean
}

/**
 * Reads the text of the file that a setting names. The file can be a named pipe, to which `maxBytes` does not
 * apply.
 *
 * @throws ConfigError if the file is not readable or too long. The message is one line that names the setting.
 */
export function readTextFile({ source, text: path }: Given, limits: FileLimits): string {
  const problem = (what: string) => new ConfigError(`${source}: ${quote(path)} ${what}`)
  try {
    return readChecked(path, limits, problem)
  } catch (error) {
    if (error instanceof ConfigError) throw error
    const code = error instanceof Error && 'code' in error ? String(error.code) : 'unknown error'
    if (limits.isSecret === true && MISSING_FILE.has(code)) {
      throw new ConfigError(`${source}: ${describeMissingSecretFile(path)}`)
    }
    const remedy = limits.isSecret === true && code === 'EACCES' ? READ_PERMISSION : ''
    throw problem(`cannot be read: ${REASONS[code] ?? code}${remedy}`)
  }
}

const READ_PERMISSION = '. Run this command as root, or as a user that may read the file.'

const MISSING_FILE: ReadonlySet<string> = new Set([
  'ENOENT',
  'ENOTDIR',
  'ENAMETOOLONG',
  'ERR_INVALID_ARG_VALUE',
])

function describeMissingSecretFile(path: string): string {
  const directory = dirname(path)
  const where = existsSync(directory) ? ` in ${quote(directory)}` : ''
  return `there is no such file${where}. Its name is hidden, because it may be the secret itself.`
}

const REASONS: Readonly<Record<string, string>> = {
  ENOENT: 'there is no such file',
  EACCES: 'this user may not read it',
  EISDIR: 'it is a directory',
  ENOTDIR: 'a part of its path is not a directory',
}

// Checks the opened file and not its path, because another file could be moved to the path before this function
// reads it.
function readChecked(
  path: string,
  { maxBytes, isSecret = false }: FileLimits,
  problem: (what: string) => ConfigError,
): string {
  const file = openSync(path, 'r')
  try {
    const stat = fstatSync(file)
    if (stat.isDirectory()) throw problem('cannot be read: it is a directory')
    if (!stat.isFile() && !stat.isFIFO()) throw problem('cannot be read: it is not a file')
    if (isSecret && (stat.mode & OTHERS_CAN_READ) !== 0 && !isSecretMount(path)) {
      throw problem(
        'can be read by every user of the machine: run chmod 600 on the file, or in a container mount it read-only',
      )
    }
    if (stat.size > maxBytes) throw problem(`is too long: expected at most ${maxBytes} bytes`)
    return readFileSync(file, 'utf8')
  } finally {
    closeSync(file)
  }
}
