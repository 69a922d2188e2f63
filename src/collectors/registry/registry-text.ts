import { isUtf8 } from 'node:buffer'
import { DecodeError } from '../../errors.js'
import type { MetricType } from '../../metrics/family.js'

// Decodes numbers, names and strings in the text format of the companion module.

// Each digit matches in only one way. If a digit could match in two ways, the search through a value of
// a million digits would take hours.
const DECIMAL = /^[+-]?(?:\d+(?:\.\d*)?|\.\d+)(?:e[+-]?\d+)?$/i
const SPECIAL = /^([+-]?)(?:(inf(?:inity)?)|nan(?:\(\w*\))?)$/i

/**
 * Parses a number as C's printf writes it, including `-nan` and `inf`. Returns NaN for an empty text.
 * `Number()` is more lenient: it parses ` ` as 0 and `0x10` as 16.
 *
 * @throws {DecodeError} The text is not a number.
 */
export function parseNumber(text: string): number {
  if (text === '') return NaN
  if (DECIMAL.test(text)) return Number(text)
  const special = SPECIAL.exec(text)
  if (!special) throw new DecodeError('statistics line', 'a number', JSON.stringify(text))
  if (special[2] === undefined) return NaN
  return special[1] === '-' ? -Infinity : Infinity
}

/** Decodes the module's escapes. Bytes that are not valid UTF-8 become U+FFFD and two digits, see `decodeUtf8`. */
export function unescape(text: string): string {
  if (!text.includes('\\')) return text.includes('\uFFFD') ? decodeUtf8(Buffer.from(text)) : text
  if (!/\\x|\uFFFD/.test(text)) return text.replace(/\\(.)/g, (_, c: string) => CONTROLS[c] ?? c)
  return decodeUtf8(unescapeToBytes(text))
}

function unescapeToBytes(text: string): Buffer {
  const bytes = Buffer.from(text)
  let length = 0
  for (let at = 0; at < bytes.length; at++) {
    let byte = bytes[at]!
    // A backslash at the end of the text stands for itself.
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
 * Converts bytes to a valid string. A byte that belongs to no character becomes U+FFFD and two
 * hexadecimal digits. So does each byte of a U+FFFD in the input, so that different bytes never result
 * in the same string.
 */
function decodeUtf8(bytes: Buffer): string {
  const text = bytes.toString('utf8')
  if (isUtf8(bytes) && !text.includes('\uFFFD')) return text
  let decoded = ''
  let start = 0
  for (let at = 0; at < bytes.length;) {
    const length = measureCharacter(bytes, at)
    if (length === 0) {
      const hex = bytes[at]!.toString(16).padStart(2, '0')
      decoded += `${bytes.toString('utf8', start, at)}\uFFFD${hex}`
      start = at + 1
    }
    at += length || 1
  }
  return decoded + bytes.toString('utf8', start)
}

/** Returns the length in bytes of the character that starts at `at`; 0 for an invalid one and for U+FFFD. */
function measureCharacter(bytes: Buffer, at: number): number {
  const first = bytes[at]!
  if (first < 0x80) return 1
  const length = first < 0xc2 || first > 0xf4 ? 0 : first < 0xe0 ? 2 : first < 0xf0 ? 3 : 4
  const character = bytes.subarray(at, at + length)
  const isValid = character.length === length && isUtf8(character)
  return isValid && !character.equals(REPLACEMENT) ? length : 0
}
const REPLACEMENT = Buffer.from('\uFFFD')

/**
 * Converts a name from the module's text to a Prometheus name, as mod_http_openmetrics does. `/` becomes
 * two underscores. Each byte that Prometheus forbids becomes one underscore, so `é` becomes two.
 */
export function escapeName(text: string, slash = '__'): string {
  return unescapeToBytes(text)
    .toString('latin1')
    .replaceAll('/', slash)
    .replace(/[^A-Za-z0-9_]/g, '_')
    .replace(/^[^A-Za-z_]/, '_$&')
}

/**
 * Parses the bounds of a family and sorts them. The server may have them in any order. Each count is
 * cumulative up to its own bound, so the counts can be sorted with the bounds.
 *
 * @returns The bounds in ascending order, and for each value of a line its column in the table. The
 *   column is -1 for a value that is not stored, because its bound is a repetition.
 */
export function readBounds(type: MetricType, texts: readonly string[]) {
  if (type === 'counter' || type === 'gauge') return { bounds: [], columns: [0] }
  const parsed = texts.map(parseNumber)
  const bounds = [...new Set(parsed)].sort((a, b) => a - b)
  const freeColumns = new Map(bounds.map((bound, column) => [bound, column]))
  // A line has sum and count, then the buckets. A table has the buckets first.
  const columns = [bounds.length, bounds.length + 1]
  for (const bound of parsed) {
    columns.push(freeColumns.get(bound) ?? -1)
    freeColumns.delete(bound)
  }
  return { bounds, columns }
}
