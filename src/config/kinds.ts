/** The kinds of values that settings have: how each is written, checked and converted. */

import { parseDuration } from './duration.js'
import { valueError, type Given } from './given.js'

export type Kind<T = unknown> = {
  /**
   * The type of the value in YAML. An `action` is a flag without a value, such as `--help`; the
   * configuration file has none. A `path` in the configuration file is relative to that file.
   */
  readonly type:
    'action' | 'boolean' | 'duration' | 'enum' | 'number' | 'path' | 'text' | 'text or number'
  /** The name of the value in `--help`, for example `FILE` in `--config.file=FILE`. */
  readonly placeholder: string
  /** Converts the text of the value. @throws ConfigError for an invalid value. */
  readonly parse: (given: Given) => T
  /** The values of an `enum`. */
  readonly choices?: readonly string[]
  /** The allowed values in words, for example `100ms to 10m`. */
  readonly allowed?: string
  /** For editors: texts that the JSON schema accepts. Only `parse` decides what is valid. */
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

/** A whole number from 0; 0 means no limit. */
export const LIMIT: Kind<number> = {
  type: 'number',
  placeholder: 'NUMBER',
  minimum: 0,
  parse(given) {
    if (/^\d{1,15}$/.test(given.text)) return Number(given.text)
    throw valueError(given, describeExpected(LIMIT))
  },
}

/** The name of a file. */
export const FILE: Kind<string> = {
  type: 'path',
  placeholder: 'FILE',
  pattern: /./,
  parse: ({ text }) => text,
}

/** Seconds without a unit, or a duration, in milliseconds. */
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

/** A duration within a range, in milliseconds. `reason` explains the range in the error message. */
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

/** One of several texts. */
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

/** A text that `parse` checks. */
export function text<T>(
  placeholder: string,
  parse: (given: Given) => T,
  pattern?: RegExp,
): Kind<T> {
  return { type: 'text', placeholder, parse, ...(pattern && { pattern }) }
}

/** A text that `parse` checks; in YAML it can also be a number. */
export function textOrNumber<T>(
  placeholder: string,
  parse: (given: Given) => T,
  { pattern, minimum }: { readonly pattern: RegExp; readonly minimum?: number },
): Kind<T> {
  const kind = { type: 'text or number', placeholder, parse, pattern } as const
  return minimum === undefined ? kind : { ...kind, minimum }
}

/** What an error message expects when the value in the configuration file has another type. */
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
