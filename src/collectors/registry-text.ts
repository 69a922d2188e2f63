import { isUtf8 } from 'node:buffer'
import { DecodeError } from '../errors.js'
import type { MetricType } from '../metrics/family.js'

// The companion module's text: numbers, names and strings as it writes them.

const DECIMAL = /^[+-]?(?:\d+\.?\d*|\.\d+)(?:e[+-]?\d+)?$/i
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
  const pieces = text.split(/(\\x[0-9a-f]{2}|\\.)/)
  return Buffer.concat(
    pieces.map((piece) =>
      piece.startsWith('\\x') ? Buffer.from(piece.slice(2), 'hex') : Buffer.from(plain(piece)),
    ),
  )
}

/** A sign at the very end escapes nothing. */
function plain(piece: string): string {
  const escaped = piece.startsWith('\\') ? piece[1] : undefined
  return escaped === undefined ? piece : (CONTROLS[escaped] ?? escaped)
}

const CONTROLS: Readonly<Record<string, string>> = { t: '\t', n: '\n', r: '\r' }

/**
 * Bytes as valid UTF-8. A byte that is no part of a character is shown as U+FFFD and two hexadecimal
 * digits, and so is each byte of a U+FFFD in the source: different bytes never look the same.
 */
function fromBytes(bytes: Buffer): string {
  const text = bytes.toString('utf8')
  if (isUtf8(bytes) && !text.includes('\uFFFD')) return text
  let shown = ''
  for (let at = 0; at < bytes.length;) {
    const length = lengthOfCharacter(bytes, at)
    const character = bytes.toString('utf8', at, at + length)
    if (length > 0 && character !== '\uFFFD') shown += character
    else shown += `\uFFFD${bytes.toString('hex', at, at + 1)}`
    at += length > 0 && character !== '\uFFFD' ? length : 1
  }
  return shown
}

function lengthOfCharacter(bytes: Buffer, at: number): number {
  for (let length = 1; length <= 4 && at + length <= bytes.length; length++) {
    if (isUtf8(bytes.subarray(at, at + length))) return length
  }
  return 0
}

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
