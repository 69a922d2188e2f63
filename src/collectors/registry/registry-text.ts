import { isUtf8 } from 'node:buffer'
import { DecodeError } from '../../errors.js'
import type { MetricType } from '../../metrics/family.js'

// The companion module's text: numbers, names and strings as it writes them.

// One way only to read each digit: with two, a value of a million of them is searched for hours.
const DECIMAL = /^[+-]?(?:\d+(?:\.\d*)?|\.\d+)(?:e[+-]?\d+)?$/i
const SPECIAL = /^([+-]?)(?:(inf(?:inity)?)|nan(?:\(\w*\))?)$/i

/**
 * Numbers as C's printf writes them, `-nan` and `inf` too; NaN for an empty text.
 *
 * @throws {DecodeError} It is no number. (`Number()` would take ` ` for 0 and `0x10` for 16.)
 */
export function parseNumber(text: string): number {
  if (text === '') return NaN
  if (DECIMAL.test(text)) return Number(text)
  const special = SPECIAL.exec(text)
  if (!special) throw new DecodeError('statistics line', 'a number', JSON.stringify(text))
  if (special[2] === undefined) return NaN
  return special[1] === '-' ? -Infinity : Infinity
}

/** Undoes the module's escaping: the very bytes that Prosody holds, as a string. */
export function unescape(text: string): string {
  if (!text.includes('\\')) return text.includes('\uFFFD') ? fromBytes(Buffer.from(text)) : text
  if (!/\\x|\uFFFD/.test(text)) return text.replace(/\\(.)/g, (_, c: string) => CONTROLS[c] ?? c)
  return fromBytes(toBytes(text))
}

function toBytes(text: string): Buffer {
  const bytes = Buffer.from(text)
  let length = 0
  for (let at = 0; at < bytes.length; at++) {
    let byte = bytes[at]!
    // A sign at the very end escapes nothing.
    if (byte === BACKSLASH && at + 1 < bytes.length) {
      const escaped = bytes.toString('latin1', at + 1, at + 4)
      const isHex = /^x[0-9a-f]{2}/.test(escaped)
      byte = isHex ? parseInt(escaped.slice(1), 16) : (CONTROL_BYTES[escaped[0]!] ?? bytes[at + 1]!)
      at += isHex ? 3 : 1
    }
    bytes[length++] = byte
  }
  return bytes.subarray(0, length)
}

const BACKSLASH = 0x5c
const CONTROLS: Readonly<Record<string, string>> = { t: '\t', n: '\n', r: '\r' }
const CONTROL_BYTES: Readonly<Record<string, number>> = { t: 9, n: 10, r: 13 }

/**
 * Bytes as valid UTF-8. A byte that is no part of a character is shown as U+FFFD and two hexadecimal
 * digits, and so is each byte of a U+FFFD in the source: different bytes never look the same.
 */
function fromBytes(bytes: Buffer): string {
  const text = bytes.toString('utf8')
  if (isUtf8(bytes) && !text.includes('\uFFFD')) return text
  let shown = ''
  let start = 0
  for (let at = 0; at < bytes.length;) {
    const length = lengthOfCharacter(bytes, at)
    if (length === 0) {
      const hex = bytes[at]!.toString(16).padStart(2, '0')
      shown += `${bytes.toString('utf8', start, at)}\uFFFD${hex}`
      start = at + 1
    }
    at += length || 1
  }
  return shown + bytes.toString('utf8', start)
}

/** Of the character that begins there, in bytes; 0 for none, and for U+FFFD. */
function lengthOfCharacter(bytes: Buffer, at: number): number {
  const first = bytes[at]!
  if (first < 0x80) return 1
  const length = first < 0xc2 || first > 0xf4 ? 0 : first < 0xe0 ? 2 : first < 0xf0 ? 3 : 4
  const character = bytes.subarray(at, at + length)
  const isWhole = character.length === length && isUtf8(character)
  return isWhole && !character.equals(REPLACEMENT) ? length : 0
}
const REPLACEMENT = Buffer.from('\uFFFD')

/**
 * A name, given as the module writes it, as mod_http_openmetrics escapes it: `/` is two underscores,
 * a byte that Prometheus forbids is one (Lua's patterns match bytes, so `é` is two).
 */
export function escapeName(text: string, slash = '__'): string {
  return toBytes(text)
    .toString('latin1')
    .replaceAll('/', slash)
    .replace(/[^A-Za-z0-9_]/g, '_')
    .replace(/^[^A-Za-z_]/, '_$&')
}

/**
 * Bounds in ascending order, whatever order the server keeps them in: each bucket's count is
 * cumulative by its own bound, so sorting is all that is needed.
 */
export function readBounds(type: MetricType, texts: readonly string[]) {
  if (type === 'counter' || type === 'gauge') return { bounds: [], columns: [0] }
  const given = texts.map(parseNumber)
  const bounds = [...new Set(given)].sort((a, b) => a - b)
  const free = new Map(bounds.map((bound, column) => [bound, column]))
  // A line gives sum, count, then the buckets; a table has the buckets first.
  const columns = [bounds.length, bounds.length + 1]
  for (const bound of given) {
    columns.push(free.get(bound) ?? -1)
    free.delete(bound)
  }
  return { bounds, columns }
}
