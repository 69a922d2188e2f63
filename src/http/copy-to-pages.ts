// Copying an array shorter than 256 KiB costs more than it saves. malloc() gives an array longer than 32 MiB
// memory pages of its own, see M_MMAP_THRESHOLD in mallopt(3).
const [MIN_BYTES, MAX_BYTES] = [256 * 1024, 32 * 1024 * 1024]

/**
 * Returns a function that copies an array into memory pages of its own. Each array is copied once. The
 * operating system gets these pages back when the copy is garbage. It often does not get back the memory of the
 * original array, because a small block of malloc() after the array is still in use. This memory would add up
 * when many clients stop reading.
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

// V8 reserves whole memory pages for a resizable ArrayBuffer. COMPAT: the types of Node.js 20 lack
// `maxByteLength`.
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
