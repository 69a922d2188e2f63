import { MAX_UTF8_BYTES, reserve, type ByteWriter } from './bytes.js'

// These functions write the wire format of protobuf, see https://protobuf.dev/programming-guides/encoding/.
// Only `writeString` reserves capacity. Before the other functions write, their caller must reserve it.

// Three wire types of protobuf. A wire type says how the value of a field is encoded.
const VARINT = 0
const DOUBLE = 1
export const LENGTH_DELIMITED = 2

/** Encodes the tag that precedes each field: the number of the field and its wire type. */
export function encodeTag(field: number, wireType: number): number {
  return field * 8 + wireType
}

// The tag and the length of a string field take at most 8 bytes.
const STRING_OVERHEAD = 8

/**
 * Begins a submessage or a string. Writes its tag and leaves one byte for its length.
 *
 * @returns The position of the length, which `closeField` expects as `start`.
 */
export function openField(out: ByteWriter, field: number): number {
  out.bytes[out.length++] = encodeTag(field, LENGTH_DELIMITED)
  return out.length++
}

/** Ends a submessage or string that `openField` began, and writes its length. */
export function closeField(out: ByteWriter, start: number): void {
  out.length = putLength(out.bytes, start, 1, out.length)
}

/**
 * Begins a message that has its length before it, and leaves `lengthBytes` bytes for this length.
 *
 * @returns The position of the length, which `closeMessage` expects as `start`.
 */
export function openMessage(out: ByteWriter, lengthBytes: number): number {
  const start = out.length
  out.length += lengthBytes
  return start
}

/**
 * Ends a message that `openMessage` began, and writes its length. Moves the content if the length needs more or
 * fewer than `lengthBytes` bytes.
 */
export function closeMessage(out: ByteWriter, start: number, lengthBytes: number): void {
  out.length = putLength(out.bytes, start, lengthBytes, out.length)
}

/**
 * Writes the length of the content between `start + lengthBytes` and `end` at the position `start`. Moves the
 * content if its length needs more or fewer than `lengthBytes` bytes.
 *
 * @returns The position after the content.
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

/** Counts the bytes that a non-negative integer needs as a varint. */
export function countVarintBytes(value: number): number {
  let size = 1
  for (let rest = value; rest >= 0x80; rest = Math.floor(rest / 0x80)) size++
  return size
}

function putVarint(bytes: Uint8Array, start: number, value: number): number {
  let at = start
  let rest = value
  // Bit operations work with 32 bits only, and a count can be larger. So the first loop divides.
  for (; rest > 0x7fffffff; rest = Math.floor(rest / 0x80)) bytes[at++] = (rest % 0x80) | 0x80
  for (; rest >= 0x80; rest >>= 7) bytes[at++] = (rest & 0x7f) | 0x80
  bytes[at++] = rest
  return at
}
