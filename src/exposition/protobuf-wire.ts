import { MAX_UTF8_BYTES, reserve, type ByteWriter } from './bytes.js'

/**
 * The wire format of protobuf. Fields are written in the order of the calls. Only `writeString`
 * reserves its own capacity.
 *
 * @see https://protobuf.dev/programming-guides/encoding/
 */

// The wire types. A tag is the number of the field, then how its value is written.
const VARINT = 0
const DOUBLE = 1
export const LENGTH_DELIMITED = 2

export function encodeTag(field: number, wireType: number): number {
  return field * 8 + wireType
}

// The tag and the length of a string.
const STRING_OVERHEAD = 8

/**
 * Begins a submessage or a string, with one byte for its length.
 *
 * @returns What `closeField` needs.
 */
export function openField(out: ByteWriter, field: number): number {
  out.bytes[out.length++] = encodeTag(field, LENGTH_DELIMITED)
  return out.length++
}

/** Ends what `openField` began. */
export function closeField(out: ByteWriter, start: number): void {
  out.length = putLength(out.bytes, start, 1, out.length)
}

/**
 * Begins a delimited message: one with its length before it.
 *
 * @param lengthBytes The number of bytes that the length is expected to need.
 * @returns The start of the message, for `closeMessage`.
 */
export function openMessage(out: ByteWriter, lengthBytes: number): number {
  const start = out.length
  out.length += lengthBytes
  return start
}

/** Ends a message. Its content moves if the length does not need the expected number of bytes. */
export function closeMessage(out: ByteWriter, start: number, lengthBytes: number): void {
  out.length = putLength(out.bytes, start, lengthBytes, out.length)
}

/**
 * Writes the length of what stands between `start + lengthBytes` and `end`.
 *
 * @returns The new end: the content moves if its length does not need `lengthBytes` bytes.
 */
export function putLength(
  bytes: Uint8Array,
  start: number,
  lengthBytes: number,
  end: number,
): number {
  const content = start + lengthBytes
  const size = end - content
  if (lengthBytes === 1 && size < 0x80) {
    bytes[start] = size
    return end
  }
  const shift = countVarintBytes(size) - lengthBytes
  if (shift !== 0) bytes.copyWithin(content + shift, content, end)
  putVarint(bytes, start, size)
  return end + shift
}

export function writeString(out: ByteWriter, field: number, text: string): void {
  reserve(out, text.length * MAX_UTF8_BYTES + STRING_OVERHEAD)
  const start = openField(out, field)
  out.length += out.bytes.write(text, out.length)
  closeField(out, start)
}

export function writeUint(out: ByteWriter, field: number, value: number): void {
  out.bytes[out.length] = encodeTag(field, VARINT)
  out.length = putVarint(out.bytes, out.length + 1, value)
}

export function writeDouble(out: ByteWriter, field: number, value: number): void {
  out.bytes[out.length] = encodeTag(field, DOUBLE)
  out.view.setFloat64(out.length + 1, value, true)
  out.length += 9
}

/** The number of bytes of a number of variable length. */
export function countVarintBytes(value: number): number {
  let size = 1
  for (let rest = value; rest >= 0x80; rest = Math.floor(rest / 0x80)) size++
  return size
}

function putVarint(bytes: Uint8Array, start: number, value: number): number {
  let at = start
  let rest = value
  // Bit operations have 32 bits, and a count may have more.
  for (; rest > 0x7fffffff; rest = Math.floor(rest / 0x80)) bytes[at++] = (rest % 0x80) | 0x80
  for (; rest >= 0x80; rest >>= 7) bytes[at++] = (rest & 0x7f) | 0x80
  bytes[at++] = rest
  return at
}
