import { formatValue } from './number.js'

/** UTF-8 that grows at its end, in room that was made for all of it. */
export type Bytes = { readonly buffer: Buffer<ArrayBuffer>; length: number }

/** The longest that a value can be, e.g. `-1.2345678901234567e-100`, and its line feed. */
export const VALUE_BYTES = 26

// Up to about here a loop is faster than the view which `set` needs.
const LOOP_BYTES = 64
const LINE_FEED = 0x0a

/**
 * Room for `capacity` bytes, which must be enough. Much too much costs nothing where it counts: the
 * system gives a large buffer its memory page by page as it is written.
 */
export function createBytes(capacity: number): Bytes {
  return { buffer: Buffer.allocUnsafeSlow(capacity), length: 0 }
}

/** What was written. */
export function finishBytes({ buffer, length }: Bytes): Uint8Array<ArrayBuffer> {
  // A typed array ignores what is written past its end: never hand out half a line.
  if (length > buffer.length) throw new Error(`${length} bytes in room for ${buffer.length}`)
  return buffer.subarray(0, length)
}

export function writeText(out: Bytes, text: string): void {
  out.length += out.buffer.write(text, out.length)
}

/** Copies `from[start … end]`. */
export function writeBytes(out: Bytes, from: Uint8Array, start: number, end: number): void {
  out.length = put(out.buffer, out.length, from, start, end)
}

/**
 * Writes a sample's line: `name{labels,extra} value`. Nothing is allocated, but a string for a value
 * that is not a small integer.
 *
 * @param extra One more label, or empty.
 * @returns Where the value stands.
 */
export function writeSample(
  out: Bytes,
  name: Uint8Array,
  labels: Uint8Array,
  start: number,
  end: number,
  extra: Uint8Array,
  value: number,
): number {
  const to = out.buffer
  let at = put(to, out.length, name, 0, name.length)
  if (end > start || extra.length > 0) {
    to[at++] = 0x7b // {
    at = put(to, at, labels, start, end)
    if (end > start && extra.length > 0) to[at++] = 0x2c // ,
    at = put(to, at, extra, 0, extra.length)
    to[at++] = 0x7d // }
  }
  to[at++] = 0x20
  const valueAt = at
  at = putValue(to, at, value)
  to[at++] = LINE_FEED
  out.length = at
  return valueAt
}

/** Writes a value at `at` and returns where it ends. */
export function putValue(to: Uint8Array, at: number, value: number): number {
  if ((value | 0) === value && value > 0) return putInteger(to, at, value)
  const text = formatValue(value)
  for (let i = 0; i < text.length; i++) to[at + i] = text.charCodeAt(i)
  return at + text.length
}

/** Where the line ends in which `at` stands. */
export function lineEnd(bytes: Uint8Array, at: number): number {
  let end = at
  while (end < bytes.length && bytes[end] !== LINE_FEED) end++
  return end
}

function put(to: Uint8Array, at: number, from: Uint8Array, start: number, end: number): number {
  if (end - start > LOOP_BYTES) to.set(from.subarray(start, end), at)
  else for (let i = start, j = at; i < end; i++, j++) to[j] = from[i]!
  return at + end - start
}

function digits(integer: number): number {
  let count = 1
  for (let rest = integer; rest >= 10; rest = (rest / 10) | 0) count++
  return count
}

function putInteger(to: Uint8Array, at: number, value: number): number {
  const end = at + digits(value)
  for (let i = end - 1, rest = value; i >= at; i--) {
    const next = (rest / 10) | 0
    to[i] = 0x30 + rest - next * 10
    rest = next
  }
  return end
}
