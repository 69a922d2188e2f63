/**
 * A buffer that grows at its end. `view` covers the same bytes. Only `reserve` and `writeText` make
 * the buffer larger; every other function requires that the capacity is reserved.
 */
export type ByteWriter = {
  bytes: Buffer<ArrayBuffer>
  view: DataView<ArrayBuffer>
  length: number
}

/** Encodes one family in one format. The calls are `writeStart`, then `writeRows` to the last row, then `writeEnd`. */
export type FamilyEncoder = {
  writeStart(out: ByteWriter): void
  /**
   * Writes rows from `rows[first]` until the output is `byteLimit` bytes long.
   *
   * @returns The index of the next row to write.
   */
  writeRows(out: ByteWriter, rows: Uint32Array, first: number, byteLimit: number): number
  writeEnd(out: ByteWriter): void
}

const WORD_BYTES = 8
/** The bytes that one UTF-16 code unit needs at most in UTF-8. */
export const MAX_UTF8_BYTES = 3

/**
 * Creates a writer. A capacity that is much too large costs little: the system gives a large buffer
 * its memory page by page as it is written.
 */
export function createWriter(capacity: number): ByteWriter {
  // Without a spread: V8 forgets the hidden class of such an object with the object, and compiles the encoders again.
  const { bytes, view } = allocate(capacity)
  return { bytes, view, length: 0 }
}

export function viewOf({ buffer, byteOffset, byteLength }: Uint8Array): DataView {
  return new DataView(buffer, byteOffset, byteLength)
}

/** Ensures that `extra` more bytes can be written. */
export function reserve(out: ByteWriter, extra: number): void {
  const needed = out.length + extra
  if (needed <= out.bytes.length) return
  const grown = allocate(Math.max(needed, Math.ceil(out.bytes.length * 1.5)))
  grown.bytes.set(out.bytes.subarray(0, out.length))
  out.bytes = grown.bytes
  out.view = grown.view
}

/** Returns the written bytes without copying them. */
export function finishBytes({ bytes, length }: ByteWriter): Uint8Array<ArrayBuffer> {
  // A typed array ignores writes past its end. Never return a truncated line.
  if (length > bytes.length) throw new Error(`${length} bytes in a buffer of ${bytes.length}`)
  return bytes.subarray(0, length)
}

/** Writes text as UTF-8. */
export function writeText(out: ByteWriter, text: string): void {
  reserve(out, text.length * MAX_UTF8_BYTES)
  out.length += out.bytes.write(text, out.length)
}

/**
 * Copies UTF-8 text from `source[start … end]` to `target[at]` and returns where the copy ends. For
 * the length of a label set this is several times as fast as a loop over bytes, and faster than
 * `set`, which needs a new typed array for each call.
 *
 * Eight bytes are copied as one double. JavaScript keeps the bits of every double but a NaN, and no
 * eight bytes of UTF-8 are a NaN: its byte 7 is 0x7F or 0xFF, its byte 6 is 0xF0 or more.
 */
export function copyText(
  target: DataView,
  at: number,
  source: DataView,
  start: number,
  end: number,
): number {
  const size = end - start
  if (size < WORD_BYTES) {
    for (let i = 0; i < size; i++) target.setUint8(at + i, source.getUint8(start + i))
    return at + size
  }
  const lastWord = size - WORD_BYTES
  for (let i = 0; i < lastWord; i += WORD_BYTES) {
    target.setFloat64(at + i, source.getFloat64(start + i, true), true)
  }
  // The last word overlaps the one before.
  target.setFloat64(at + lastWord, source.getFloat64(start + lastWord, true), true)
  return at + size
}

function allocate(capacity: number): Pick<ByteWriter, 'bytes' | 'view'> {
  const bytes = Buffer.allocUnsafeSlow(capacity)
  return { bytes, view: new DataView(bytes.buffer) }
}
