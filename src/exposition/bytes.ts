/**
 * A growing buffer for an exposition. `length` is the number of written bytes. `view` covers the same memory as
 * `bytes`. Only `reserve` and functions that call it make the buffer larger. Before any other function writes,
 * the caller must reserve enough capacity.
 */
export type ByteWriter = {
  bytes: Buffer<ArrayBuffer>
  view: DataView<ArrayBuffer>
  length: number
}

/**
 * Encodes one family in one format. Call `writeStart`, then `writeRows` until all rows are written, then
 * `writeEnd`.
 */
export type FamilyEncoder = {
  writeStart(out: ByteWriter): void
  /**
   * Writes the rows from `rows[first]` on, until all are written or `out` has at least `byteLimit` bytes.
   *
   * @returns The index in `rows` of the next row to write.
   */
  writeRows(out: ByteWriter, rows: Uint32Array, first: number, byteLimit: number): number
  writeEnd(out: ByteWriter): void
}

const WORD_BYTES = 8
/** The largest number of bytes that one UTF-16 code unit needs in UTF-8. */
export const MAX_UTF8_BYTES = 3

/**
 * Creates a writer. A capacity that is much too large costs little memory, because the operating system gives
 * memory to a large buffer only when the buffer is written, page by page.
 */
export function createWriter(capacity: number): ByteWriter {
  // This object must not be created with a spread. V8 drops the hidden class of an object with a spread
  // together with the object, and then compiles the encoders again for each exposition.
  const { bytes, view } = allocate(capacity)
  return { bytes, view, length: 0 }
}

export function createView({ buffer, byteOffset, byteLength }: Uint8Array): DataView {
  return new DataView(buffer, byteOffset, byteLength)
}

/** Makes the buffer larger if it has no room for `extra` more bytes. */
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
  // A typed array silently ignores writes past its end. This check prevents a truncated exposition.
  if (length > bytes.length) throw new Error(`${length} bytes in a buffer of ${bytes.length}`)
  return bytes.subarray(0, length)
}

/** Writes text as UTF-8, and reserves the capacity for it. */
export function writeText(out: ByteWriter, text: string): void {
  reserve(out, text.length * MAX_UTF8_BYTES)
  out.length += out.bytes.write(text, out.length)
}

/**
 * Copies UTF-8 text from `source[start … end]` to `target[at]`, and returns the position after the copy. For
 * the length of a label set, this function is several times as fast as a loop over bytes. It is also faster
 * than `TypedArray.set`, which needs a new typed array for each call.
 *
 * The function copies eight bytes as one double. JavaScript keeps the bits of every double except NaN. Eight
 * bytes of UTF-8 are never a NaN, which ends with a byte from 0xF0 on and a byte 0x7F or 0xFF.
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
  // The last eight bytes are copied separately. They can overlap the eight bytes that were copied before them.
  target.setFloat64(at + lastWord, source.getFloat64(start + lastWord, true), true)
  return at + size
}

function allocate(capacity: number): Pick<ByteWriter, 'bytes' | 'view'> {
  const bytes = Buffer.allocUnsafeSlow(capacity)
  return { bytes, view: new DataView(bytes.buffer) }
}
