// What is shorter is not worth a copy. A longer block has pages of its own already: mallopt(3).
const [SHORTEST, LONGEST] = [256 * 1024, 32 * 1024 * 1024]

/**
 * Makes copies in pages of their own, one of each array. They go back to the system when nothing refers to
 * them any more. A block of malloc() often does not: any small thing that was allocated behind it and lives
 * on holds it. That adds up where clients that stop reading pin one exposition after another.
 */
export function createPageCopier(): (bytes: Uint8Array) => Uint8Array {
  const copies = new WeakMap<Uint8Array, Uint8Array>()
  return (bytes) => {
    if (bytes.length < SHORTEST || bytes.length > LONGEST) return bytes
    const copy = copies.get(bytes) ?? copyToPages(bytes)
    // Of a copy there is no other.
    copies.set(bytes, copy).set(copy, copy)
    return copy
  }
}

// V8 reserves pages for a buffer that may be resized. COMPAT: the types of Node.js 20 lack the option.
const Pages = ArrayBuffer as new (size: number, options: { maxByteLength: number }) => ArrayBuffer

function copyToPages(bytes: Uint8Array): Uint8Array {
  const { length } = bytes
  const copy = new Uint8Array(new Pages(length, { maxByteLength: length }))
  copy.set(bytes)
  return copy
}
