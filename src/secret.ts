import { closeSync, fstatSync, openSync, readFileSync } from 'node:fs'
import { ConfigError } from './errors.js'
import { quote, type Given } from './flags.js'

const MAX_BYTES = 4096
const OTHERS_MAY_READ = 0o004

/**
 * The secret in a file, without the newline that ends it.
 *
 * @throws ConfigError when the file can't be read, others may read it, or it does not hold one line.
 */
export function readSecretFile({ source, text: path }: Given): string {
  const problem = (what: string) => new ConfigError(`${source}: ${quote(path)} ${what}`)
  let content: string
  try {
    content = read(path, problem)
  } catch (error) {
    if (error instanceof ConfigError) throw error
    const code = error instanceof Error && 'code' in error ? String(error.code) : 'unknown error'
    throw problem(`cannot be read: ${REASONS[code] ?? code}`)
  }
  const secret = content.replace(/\r?\n$/, '')
  if (secret === '') throw problem('is empty: expected the component_secret')
  if (/[\r\n\0]/.test(secret)) throw problem('holds several lines: expected the component_secret')
  return secret
}

const REASONS: Readonly<Record<string, string>> = {
  ENOENT: 'there is no such file',
  EACCES: 'this user may not read it',
  EISDIR: 'it is a directory',
  ENOTDIR: 'a part of its path is no directory',
}

// Looks at the opened file, so that what was checked is what is read.
function read(path: string, problem: (what: string) => ConfigError): string {
  const file = openSync(path, 'r')
  try {
    const stat = fstatSync(file)
    if (stat.isDirectory()) throw problem('cannot be read: it is a directory')
    if (!stat.isFile() && !stat.isFIFO()) throw problem('cannot be read: it is not a file')
    if ((stat.mode & OTHERS_MAY_READ) !== 0) {
      throw problem('can be read by every user of the machine: run chmod 600 on it')
    }
    if (stat.size > MAX_BYTES) throw problem('is too long: expected the component_secret')
    return readFileSync(file, 'utf8')
  } finally {
    closeSync(file)
  }
}
