import { ConfigError } from '../errors.js'
import { readTextFile } from './read-text-file.js'
import { quote, type Given } from './read-settings.js'

const MAX_BYTES = 4096

/**
 * The secret in a file, without the newline that ends it.
 *
 * @throws ConfigError when the file can't be read, others may read it, or it does not hold one line.
 */
export function readSecretFile(file: Given): string {
  const problem = (what: string) => new ConfigError(`${file.source}: ${quote(file.text)} ${what}`)
  const content = readTextFile(file, { maxBytes: MAX_BYTES, isSecret: true })
  const secret = withoutNewline(content)
  if (secret === '') throw problem('is empty: expected the component_secret')
  if (/[\r\n\0]/.test(secret)) throw problem('holds several lines: expected the component_secret')
  return secret
}

/** Editors and `echo` end a file with a newline, and so does a variable that is filled from one. */
export function withoutNewline(text: string): string {
  return text.replace(/\r?\n$/, '')
}
