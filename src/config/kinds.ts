/** The kinds of values that settings have. A kind defines how a value is written, checked and converted. */

import { parseDuration } from './duration.js'
import { valueError, type Given } from './given.js'

export type Kind<T = unknown> = {
  /**
   * The type of the value in YAML. An `action` is a flag without a value, such as `--help`, and is not allowed in
   * the configuration file. A `path` in the configuration file is relative to the directory of that file.
   */
  readonly type:
    'action' | 'boolean' | 'duration' | 'enum' | 'number' | 'path' | 'text' | 'text or number'
  /** The name of the value in `--help`, for example `FILE` in `--config.file=FILE`. */
  readonly placeholder: string
  /** Converts the text of the value. @throws ConfigError for an invalid value. */
  readonly parse: (given: Given) => T
  /** The allowed values of an `enum`. */
  readonly choices?: readonly string[]
  /** The allowed values in words, for example `100ms to 10m`. */
  readonly allowed?: string
  /** The texts that the JSON schema accepts in an editor. The exporter itself checks values with `parse` only. */
  readonly pattern?: RegExp
  /** The smallest number that the JSON schema accepts. */
  readonly minimum?: number
}

export const ACTION: Kind<true> = { type: 'action', placeholder: '', parse: () => true }

export const BOOLEAN: Kind<boolean> = {
  type: 'boolean',
  placeholder: 'BOOL',
  parse: (given) => parseChoice(given, ['true', 'false']) === 'true',
}

/** An upper limit: a whole number of at most 15 digits. 0 means no limit. */
export const LIMIT: Kind<number> = {
  type: 'number',
  placeholder: 'NUMBER',
  minimum: 0,
  parse(given) {
    if (/^\d{1,15}$/.test(given.text)) return Number(given.text)
    throw valueError(given, describeExpected(LIMIT))
  },
}

export const FILE: Kind<string> = {
  type: 'path',
  placeholder: 'FILE',
  pattern: /./,
  parse: ({ text }) => text,
}

export const DIRECTORY: Kind<string> = { ...FILE, placeholder: 'DIRECTORY' }

/** A time, written as seconds without a unit (`0.5`) or as a duration (`500ms`). The value is in milliseconds. */
export const SECONDS: Kind<number> = {
  type: 'text',
  placeholder: 'SECONDS',
  parse(given) {
    const isNumber = /^\d{1,9}(?:\.\d{1,9})?$/.test(given.text)
    const ms = isNumber ? Number(given.text) * 1000 : parseDuration(given.text)
    if (ms === undefined) throw valueError(given, 'seconds, e.g. 0.5, or a duration, e.g. 500ms')
    return ms
  },
}

/**
 * A duration between `min` (default 0) and `max`, such as `250ms`. The value is in milliseconds. The error message
 * shows `reason` as the reason for the range.
 */
export function duration(range: {
  readonly min?: string
  readonly max: string
  readonly isZeroAllowed?: boolean
  readonly reason?: string
}): Kind<number> {
  const { min, max, isZeroAllowed = false, reason } = range
  const minMs = parseDuration(min ?? '0')!
  const maxMs = parseDuration(max)!
  const allowed = `${isZeroAllowed ? '0, or ' : ''}${min === undefined ? 'at most' : `${min} to`} ${max}`
  const kind: Kind<number> = {
    type: 'duration',
    placeholder: 'DURATION',
    allowed,
    pattern: /^(?=.)(\d+y)?(\d+w)?(\d+d)?(\d+h)?(\d+m)?(\d+s)?(\d+ms)?$/,
    parse(given) {
      const ms = parseDuration(given.text)
      if (ms === undefined) throw valueError(given, describeExpected(kind))
      const isInRange = (isZeroAllowed && ms === 0) || (ms >= minMs && ms <= maxMs)
      if (!isInRange) throw valueError(given, reason ? `${allowed} (${reason})` : allowed)
      return ms
    },
  }
  return kind
}

export function oneOf<T extends string>(
  placeholder: string,
  choices: readonly T[],
  { isCaseIgnored = false } = {},
): Kind<T> {
  return {
    type: 'enum',
    placeholder,
    choices,
    allowed: joinWithOr(choices),
    parse: (given) => parseChoice(given, choices, isCaseIgnored),
  }
}

/** A text that `parse` checks and converts. `pattern` is for the JSON schema only. */
export function text<T>(
  placeholder: string,
  parse: (given: Given) => T,
  pattern?: RegExp,
): Kind<T> {
  return { type: 'text', placeholder, parse, ...(pattern && { pattern }) }
}

/** A text that `parse` checks and converts. In YAML, the value can also be a number, such as a group number. */
export function textOrNumber<T>(
  placeholder: string,
  parse: (given: Given) => T,
  { pattern, minimum }: { readonly pattern: RegExp; readonly minimum?: number },
): Kind<T> {
  const kind = { type: 'text or number', placeholder, parse, pattern } as const
  return minimum === undefined ? kind : { ...kind, minimum }
}

/** Describes the values of a kind for the error message about a value of another type: `expected …`. */
export function describeExpected({ type, choices = [] }: Kind): string {
  if (type === 'boolean') return 'true or false'
  if (type === 'duration') return 'a duration, e.g. 250ms or 1m30s'
  if (type === 'number') return 'a whole number, 0 for no limit'
  if (type === 'text or number') return 'text or a whole number'
  return type === 'enum' ? joinWithOr(choices) : 'text'
}

function parseChoice<T extends string>(
  given: Given,
  choices: readonly T[],
  isCaseIgnored = false,
): T {
  const text = isCaseIgnored ? given.text.toLowerCase() : given.text
  const choice = choices.find((each) => each === text)
  if (choice === undefined) throw valueError(given, joinWithOr(choices))
  return choice
}

/** Formats a list as `a, b or c`. */
export function joinWithOr(texts: readonly string[]): string {
  const last = texts.at(-1) ?? ''
  return texts.length < 2 ? last : `${texts.slice(0, -1).join(', ')} or ${last}`
}
