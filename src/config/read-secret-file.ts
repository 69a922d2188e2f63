import { ConfigError } from '../errors.js'
import type { Given } from './given.js'
import { quote } from './quote.js'
import { readTextFile } from './read-text-file.js'

const MAX_BYTES = 4096

/**
 * Reads the secret from a file, without the newline at its end.
 *
 * @param expected What the file should contain, for error messages.
 * @throws ConfigError if the file is not readable or too long, if every user can read it (except on a secret
 *   mount), or if it is not exactly one line.
 */
export function readSecretFile(file: Given, expected = 'the component_secret'): string {
  const problem = (what: string) => new ConfigError(`${file.source}: ${quote(file.text)} ${what}`)
  const secret = removeFinalNewline(readTextFile(file, { maxBytes: MAX_BYTES, isSecret: true }))
  if (secret === '') throw problem(`is empty: expected ${expected}`)
  if (/[\r\n\0]/.test(secret)) throw problem(`holds several lines: expected ${expected}`)
  return secret
}

/**
 * Reads the secret from an environment variable, without the newline at its end.
 *
 * @throws ConfigError, whose message does not contain the secret.
 */
export function parseSecret({ source, text }: Given): string {
  const secret = removeFinalNewline(text)
  if (/[\r\n\0]/.test(secret)) throw new ConfigError(`${source}: expected one line, got several`)
  return secret
}

// Editors and `echo` add a newline to the end of a file, which then is also in a variable with the file's text.
function removeFinalNewline(text: string): string {
  return text.replace(/\r?\n$/, '')
}
