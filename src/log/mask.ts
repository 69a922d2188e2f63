import { DecodeError, getErrorMessage } from '../errors.js'
import type { Fields, Log, LogLine } from './log.js'

/** A function that replaces the parts of a text that must not be shown. */
export type Mask = (text: string) => string

const MAX_REASON = 2000

const REPLACEMENT = '…'

/**
 * Creates a mask for the secret of a component, because a server can repeat the secret, for example in the text of an
 * error. The mask replaces the secret in each form: unchanged, escaped in an XML text, and escaped in an XML attribute.
 */
export function secretMask(secret: string): Mask {
  if (secret === '') return (text) => text
  // The longest form of the secret is replaced first, because a shorter form can be a part of it.
  const forms = new Set([escaped(secret, /[&<>"']/g), escaped(secret, /[&<>]/g), secret])
  return (text) => [...forms].reduce((rest, form) => rest.replaceAll(form, REPLACEMENT), text)
}

/**
 * Masks the parts of JIDs that can name a person or a room: `user@example.com/phone` becomes
 * `…@example.com`. (RFC 7622 §3.1)
 */
export const maskJids: Mask = (text) =>
  // The lookbehind makes matches start only at the beginning of a word. Otherwise a long word would take quadratic
  // time.
  text.replace(
    /(?<![^\s<>"'@/])[^\s<>"'@/]+@([^\s<>"'@/]+)(?:\/[^\s<>"']*[^\s<>"'),.:;])?/g,
    `${REPLACEMENT}@$1`,
  )

/** Masks the texts in double quotes, with which a message about an invalid configuration repeats values of a file. */
export const maskQuoted: Mask = (text) => text.replace(/"(?:[^"\\]|\\.)*"/g, `"${REPLACEMENT}"`)

/** Creates a mask for texts that people other than the operator can read. It masks the secret and the names in JIDs. */
export function serverMask(secret: string): Mask {
  const maskSecret = secretMask(secret)
  return (text) => maskJids(maskSecret(text))
}

/** Returns a log that masks the secret at every level. At the levels above debug, it also masks the names in JIDs. */
export function withMask(log: Log, secret: string): Log {
  const [maskSecret, maskAll] = [secretMask(secret), serverMask(secret)]
  const line = (level: keyof Log): LogLine => {
    const mask = level === 'debug' ? maskSecret : maskAll
    return (message, fields) => {
      log[level](mask(message), fields && maskFields(fields, mask))
    }
  }
  return { debug: line('debug'), info: line('info'), warn: line('warn'), error: line('error') }
}

function maskFields(fields: Fields, mask: Mask): Fields {
  return Object.fromEntries(
    Object.entries(fields).map(([name, value]) => [
      name,
      typeof value === 'string' ? mask(value) : value,
    ]),
  )
}

const ENTITIES: Readonly<Record<string, string>> = {
  '&': '&amp;',
  '<': '&lt;',
  '>': '&gt;',
  '"': '&quot;',
  "'": '&apos;',
}

function escaped(text: string, characters: RegExp): string {
  return text.replace(characters, (character) => ENTITIES[character]!)
}

/**
 * Returns the message of an error without the secret and personal data. Personal data are names in JIDs, IP addresses
 * other than 127.0.0.0/8, and values that could not be decoded.
 */
export function reasonText(error: unknown, maskSecret: Mask): string {
  if (error instanceof DecodeError) return error.message.replace(/, got .*/s, '; see the log')
  return maskJids(maskSecret(getErrorMessage(error)).slice(0, MAX_REASON))
    .replace(/\b(?!127\.)\d{1,3}(?:\.\d{1,3}){3}\b/g, '…')
    .replace(/\b(?:[\da-f]{0,4}:){2,7}[\da-f]{1,4}\b/gi, '…')
}

/**
 * Masks what the operator typed as a key: the names of users, and unknown keys, which can be a secret in the wrong place.
 */
export const maskKeys: Mask = (text) =>
  text
    .replace(/(?<=\bbasic_auth_users\.)[^\s:]+/g, REPLACEMENT)
    .replace(/(?<=:\d+:\d+: ).+(?=: expected .+, got an unknown key)/, REPLACEMENT)
