import type { Steps } from './slices.js'

/**
 * Delimited protobuf messages, a whole that grows at its end, `view` being of `bytes`. Fields are written in the
 * order of the calls. All but `writeString` and `reserve` take it that there is room.
 *
 * @see https://protobuf.dev/programming-guides/encoding/
 */
export type Out = { bytes: Uint8Array<ArrayBuffer>; view: DataView; length: number }

// A tag is the number of the field, then how it is written.
const VARINT = 0
const DOUBLE = 1
const LENGTH = 2
const tag = (field: number, wireType: number): number => field * 8 + wireType

// The longest length of a message before it, which is known only at its end.
const PREFIX_MARGIN = 5
// The same of a text, with its tag.
const STRING_MARGIN = 8
const MOVE_BYTES = 1024 * 1024
const UTF8 = new TextEncoder()

export function createOut(capacity: number): Out {
  return { ...allocate(capacity), length: 0 }
}

/** Begins a message or a text, one byte for its length; there must be room. */
export function open(out: Out, field: number): number {
  out.bytes[out.length++] = tag(field, LENGTH)
  return out.length++
}

/** Ends what `open` began: the few that are longer than 127 bytes are moved. */
export function close(out: Out, start: number): void {
  const content = start + 1
  const size = out.length - content
  if (size < 0x80) {
    out.bytes[start] = size
    return
  }
  const more = varintSize(size) - 1
  if (more > 0) out.bytes.copyWithin(content + more, content, out.length)
  putVarint(out.bytes, start, size)
  out.length += more
}

export function writeString(out: Out, field: number, text: string): void {
  reserve(out, text.length * 3 + STRING_MARGIN)
  const start = open(out, field)
  out.length += UTF8.encodeInto(text, out.bytes.subarray(out.length)).written
  close(out, start)
}

export function writeUint(out: Out, field: number, value: number): void {
  out.bytes[out.length] = tag(field, VARINT)
  out.length = putVarint(out.bytes, out.length + 1, value)
}

export function writeDouble(out: Out, field: number, value: number): void {
  out.bytes[out.length] = tag(field, DOUBLE)
  out.view.setFloat64(out.length + 1, value, true)
  out.length += 9
}

function putVarint(to: Uint8Array, start: number, value: number): number {
  let at = start
  let rest = value
  // Bit operations have 32 bits, and a count may have more.
  for (; rest > 0x7fffffff; rest = Math.floor(rest / 0x80)) to[at++] = (rest % 0x80) | 0x80
  for (; rest >= 0x80; rest >>= 7) to[at++] = (rest & 0x7f) | 0x80
  to[at++] = rest
  return at
}

function varintSize(value: number): number {
  let size = 1
  for (let rest = value; rest >= 0x80; rest = Math.floor(rest / 0x80)) size++
  return size
}

function allocate(capacity: number): Pick<Out, 'bytes' | 'view'> {
  // Not zeroed: the system gives a large buffer its memory page by page as it is written.
  const bytes = Buffer.allocUnsafeSlow(capacity)
  return { bytes, view: new DataView(bytes.buffer) }
}

export function reserve(out: Out, extra: number): void {
  const needed = out.length + extra
  if (needed <= out.bytes.length) return
  const grown = allocate(Math.max(needed, Math.ceil(out.bytes.length * 1.5)))
  grown.bytes.set(out.bytes.subarray(0, out.length))
  out.bytes = grown.bytes
  out.view = grown.view
}

/** Begins a message with its length before it. */
export function openMessage(out: Out): void {
  reserve(out, PREFIX_MARGIN)
  out.length += PREFIX_MARGIN
}

/**
 * Ends the message that `openMessage` began at `start`.
 *
 * @returns By how much its content was moved towards the start, as its length is mostly short.
 */
export function* closeMessage(out: Out, start: number): Steps<number> {
  const content = start + PREFIX_MARGIN
  const size = out.length - content
  const moved = PREFIX_MARGIN - varintSize(size)
  for (let from = content; from < out.length; from += MOVE_BYTES) {
    if (from > content) yield
    out.bytes.copyWithin(from - moved, from, Math.min(out.length, from + MOVE_BYTES))
  }
  putVarint(out.bytes, start, size)
  out.length -= moved
  return moved
}
