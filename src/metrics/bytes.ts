import { formatValue } from './number.js'

/** UTF-8 that grows at its end. */
export type Bytes = { buffer: Buffer<ArrayBuffer>; length: number }

/** Bytes of a slab, from `start` to before `end`. */
export type Slice = { bytes: Uint8Array; start: number; end: number }

// Longer than any number and the punctuation of a line.
const LINE_MARGIN = 40
// Up to about here a loop is faster than the view which `set` needs.
const LOOP_BYTES = 64

export function createBytes(capacity: number): Bytes {
  return { buffer: Buffer.allocUnsafeSlow(Math.max(capacity, LINE_MARGIN)), length: 0 }
}

/** What was written, without the room that is left where that is much. */
export function finishBytes({ buffer, length }: Bytes): Uint8Array<ArrayBuffer> {
  const written = buffer.subarray(0, length)
  return length > buffer.length * 0.6 ? written : new Uint8Array(written)
}

export function writeText(out: Bytes, text: string): void {
  reserve(out, text.length * 3)
  out.length += out.buffer.write(text, out.length)
}

/**
 * Writes a sample's line: `name{labels,extra} value`. Nothing is allocated, but a string for a value
 * that is not a small integer.
 *
 * @param extra One more label, or empty.
 */
export function writeSample(
  out: Bytes,
  name: Uint8Array,
  labels: Slice,
  extra: Uint8Array,
  value: number,
): void {
  const { bytes, start, end } = labels
  reserve(out, name.length + end - start + extra.length + LINE_MARGIN)
  const to = out.buffer
  let at = put(to, out.length, name, 0, name.length)
  if (end > start || extra.length > 0) {
    to[at++] = 0x7b // {
    at = put(to, at, bytes, start, end)
    if (end > start && extra.length > 0) to[at++] = 0x2c // ,
    at = put(to, at, extra, 0, extra.length)
    to[at++] = 0x7d // }
  }
  to[at++] = 0x20
  at = putValue(to, at, value)
  to[at++] = 0x0a
  out.length = at
}

function reserve(out: Bytes, extra: number): void {
  const needed = out.length + extra
  if (needed <= out.buffer.length) return
  const grown = Buffer.allocUnsafeSlow(Math.max(needed, Math.ceil(out.buffer.length * 1.5)))
  out.buffer.copy(grown, 0, 0, out.length)
  out.buffer = grown
}

function put(to: Buffer, at: number, from: Uint8Array, start: number, end: number): number {
  if (end - start > LOOP_BYTES) to.set(from.subarray(start, end), at)
  else for (let i = start, j = at; i < end; i++, j++) to[j] = from[i]!
  return at + end - start
}

function putValue(to: Buffer, at: number, value: number): number {
  if ((value | 0) === value && value > 0) return putInteger(to, at, value)
  const text = formatValue(value)
  for (let i = 0; i < text.length; i++) to[at + i] = text.charCodeAt(i)
  return at + text.length
}

function putInteger(to: Buffer, at: number, value: number): number {
  let end = at + 1
  for (let rest = value; rest >= 10; rest = (rest / 10) | 0) end++
  for (let i = end - 1, rest = value; i >= at; i--) {
    const next = (rest / 10) | 0
    to[i] = 0x30 + rest - next * 10
    rest = next
  }
  return end
}
