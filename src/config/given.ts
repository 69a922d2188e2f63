import { ConfigError } from '../errors.js'
import { quote } from './quote.js'

/** The text that a setting was given, and where the operator wrote it. */
export type Given = {
  readonly from: 'flag' | 'variable' | 'file' | 'default'
  /** The start of error messages: `--flag`, an environment variable, `FILE:LINE:COLUMN: KEY` or `default`. */
  readonly source: string
  readonly text: string
}

/** @returns The error `SOURCE: expected …, got "TEXT"`. */
export function valueError({ source, text }: Given, expected: string): ConfigError {
  return new ConfigError(`${source}: expected ${expected}, got ${quote(text)}`)
}
