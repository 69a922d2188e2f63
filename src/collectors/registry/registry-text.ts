import { isUtf8 } from 'node:buffer'
import { DecodeError } from '../../errors.js'
import type { MetricType } from '../../metrics/family.js'

// In this pattern, there is only one way to match each digit. A pattern with two ways could take hours for a value
// with a million digits.
const DECIMAL = /^[+-]?(?:\d+(?:\.\d*)?|\.\d+)(?:e[+-]?\d+)?$/i
const SPECIAL = /^([+-]?)(?:(inf(?:inity)?)|nan(?:\(\w*\))?)$/i

/**
 * Parses a number in the notation of C's printf, including `-nan` and `inf`. The result for an empty text is NaN.
 * This function does not use `Number()` alone, because `Number()` accepts invalid texts: ` ` becomes 0 and `0x10`
 * becomes 16.
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

/**
 * Decodes the backslash escapes in a text of mod_adhoc_statistics. Each byte that is not valid UTF-8 becomes U+FFFD
 * and two hexadecimal digits, see `decodeUtf8`.
 */
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
 * Converts bytes to a string of valid Unicode. Each byte that is not part of a valid UTF-8 character becomes U+FFFD
 * and two hexadecimal digits. If the bytes contain the character U+FFFD itself, its three bytes are converted in the
 * same way. So two different byte sequences never result in the same string.
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

/**
 * Returns the length in bytes of the UTF-8 character at index `at`. The result is 0 for invalid bytes and for U+FFFD.
 */
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
 * Converts a name in a text of mod_adhoc_statistics to a Prometheus name, as mod_http_openmetrics does. Each `/`
 * becomes `slash`. Each other byte that is not an ASCII letter, a digit or an underscore becomes one underscore, so `é`
 * becomes two underscores. A digit at the start gets an underscore before it.
 */
export function escapeName(text: string, slash = '__'): string {
  return unescapeToBytes(text)
    .toString('latin1')
    .replaceAll('/', slash)
    .replace(/[^A-Za-z0-9_]/g, '_')
    .replace(/^[^A-Za-z_]/, '_$&')
}

/**
 * Parses the bucket bounds of a family and sorts them, because the server may send them in any order. The counts of the
 * buckets can be sorted in the same way, because each count is cumulative up to the bound of its bucket.
 *
 * @returns The bounds in ascending order, and for each value in the line of a series its column in the table. The
 *   column is -1 for a value that is not stored because its bound is repeated.
 */
export function readBounds(type: MetricType, texts: readonly string[]) {
  if (type === 'counter' || type === 'gauge') return { bounds: [], columns: [0] }
  const parsed = texts.map(parseNumber)
  const bounds = [...new Set(parsed)].sort((a, b) => a - b)
  const freeColumns = new Map(bounds.map((bound, column) => [bound, column]))
  // The line of a series has its sum, its count and then its buckets. The columns of a table have the buckets first.
  const columns = [bounds.length, bounds.length + 1]
  for (const bound of parsed) {
    columns.push(freeColumns.get(bound) ?? -1)
    freeColumns.delete(bound)
  }
  return { bounds, columns }
}
