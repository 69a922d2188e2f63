import { DecodeError } from '../errors.js'
import type { Fields, Log, LogLine } from './log.js'

/** Replaces parts of a text that must not be shown. */
export type Mask = (text: string) => string

const MAX_REASON = 2000

/** Replaces each masked part. */
const MASKED = '…'

/**
 * Creates a mask for a secret. A server can repeat the secret, for example in the text of an error.
 *
 * @returns A mask for each form of the secret: unchanged, in XML text, and in an XML attribute.
 */
export function secretMask(secret: string): Mask {
  if (secret === '') return (text) => text
  // The longest form first, because a shorter one can be a part of it.
  const forms = new Set([escaped(secret, /[&<>"']/g), escaped(secret, /[&<>]/g), secret])
  return (text) => [...forms].reduce((rest, form) => rest.replaceAll(form, MASKED), text)
}

/**
 * Masks the parts of JIDs that can name a person or a room: `user@example.com/phone` becomes
 * `…@example.com`. (RFC 7622 §3.1)
 */
export const maskJids: Mask = (text) =>
  // Matches start at the beginning of a word only. Otherwise a long word would take quadratic time.
  text.replace(
    /(?<![^\s<>"'@/])[^\s<>"'@/]+@([^\s<>"'@/]+)(?:\/[^\s<>"']*[^\s<>"'),.:;])?/g,
    `${MASKED}@$1`,
  )

/** Creates a mask for texts that other people can read. It masks the secret and the names in JIDs. */
export function serverMask(secret: string): Mask {
  const maskSecret = secretMask(secret)
  return (text) => maskJids(maskSecret(text))
}

/**
 * Returns a log that masks the secret at every level, and the names in JIDs above debug.
 */
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
 * Returns the reason of a failure without the secret and personal data. Personal data are names in JIDs, IP addresses
 * except loopback, and values that could not be decoded.
 */
export function reasonText(error: unknown, maskSecret: Mask): string {
  if (error instanceof DecodeError) return error.message.replace(/, got .*/s, '; see the log')
  const cause = error instanceof Error ? error.message : String(error)
  return maskJids(maskSecret(cause).slice(0, MAX_REASON))
    .replace(/\b(?!127\.)\d{1,3}(?:\.\d{1,3}){3}\b/g, '…')
    .replace(/\b(?:[\da-f]{0,4}:){2,7}[\da-f]{1,4}\b/gi, '…')
}
