// A copy of a shorter array is not worth its cost. A longer array has its own pages already: mallopt(3).
const [MIN_BYTES, MAX_BYTES] = [256 * 1024, 32 * 1024 * 1024]

/**
 * Returns a function that copies an array into memory pages of its own, once for each array. These pages
 * return to the system when the copy is garbage. A block of malloc() often does not: a small block behind it
 * that is still in use holds it. That adds up where stopped clients hold one exposition after another.
 */
export function createPageCopier(): (bytes: Uint8Array) => Uint8Array {
  const copies = new WeakMap<Uint8Array, Uint8Array>()
  return (bytes) => {
    if (bytes.length < MIN_BYTES || bytes.length > MAX_BYTES) return bytes
    const copy = copies.get(bytes) ?? copyToPages(bytes)
    // The copy is registered as its own copy, so that it is not copied again.
    copies.set(bytes, copy).set(copy, copy)
    return copy
  }
}

// V8 reserves whole pages for a resizable buffer. COMPAT: the types of Node.js 20 lack the option.
const ResizableBuffer = ArrayBuffer as new (
  size: number,
  options: { maxByteLength: number },
) => ArrayBuffer

function copyToPages(bytes: Uint8Array): Uint8Array {
  const { length } = bytes
  const copy = new Uint8Array(new ResizableBuffer(length, { maxByteLength: length }))
  copy.set(bytes)
  return copy
}
