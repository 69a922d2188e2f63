import type { Readable } from 'node:stream'

/** The bytes of a body, or why there are none. */
export type ReceivedBody = Uint8Array | 'too long' | 'incomplete'

export type BodyOptions = {
  readonly maxBytes: number
  readonly timeoutMs: number
  /** The length in the headers, which can be wrong; 0 if there is none. It must not exceed `maxBytes`. */
  readonly expectedBytes: number
}

const MIN_BUFFER_BYTES = 16 * 1024

/**
 * Reads the body of a request. It needs no more memory than twice `maxBytes`: the rest of a longer body is discarded. The
 * chunks are copied into one buffer, because a body in chunks of one byte would need a hundred times its size.
 */
export function readBody(body: Readable, options: BodyOptions): Promise<ReceivedBody> {
  return new Promise((resolve) => {
    let buffer = Buffer.allocUnsafe(Math.max(options.expectedBytes, MIN_BUFFER_BYTES))
    let length = 0
    let isFinished = false
    const finish = (result: ReceivedBody) => {
      if (isFinished) return
      isFinished = true
      buffer = Buffer.alloc(0)
      clearTimeout(timer)
      resolve(result)
    }
    const timer = setTimeout(() => {
      finish('incomplete')
    }, options.timeoutMs)
    // The listeners stay after the end: without a listener, the rest of the body would not be discarded, and an error
    // would end the process.
    body.on('data', (chunk: Buffer) => {
      if (isFinished) return
      if (length + chunk.length > options.maxBytes) {
        finish('too long')
        return
      }
      buffer = enlarge(buffer, length + chunk.length)
      length += chunk.copy(buffer, length)
    })
    body.on('end', () => {
      finish(buffer.subarray(0, length))
    })
    body.on('error', () => {
      finish('incomplete')
    })
    body.on('close', () => {
      finish('incomplete')
    })
  })
}

/** Returns a buffer with at least `bytes` bytes, which begins with the content of the given one. */
function enlarge(buffer: Buffer<ArrayBuffer>, bytes: number): Buffer<ArrayBuffer> {
  if (bytes <= buffer.length) return buffer
  const larger = Buffer.allocUnsafe(Math.max(bytes, 2 * buffer.length))
  buffer.copy(larger)
  return larger
}
