import type { EventEmitter } from 'node:events'

export type StanzaLimits = {
  readonly bytes: number
  readonly elements: number
  readonly depth: number
}

/** So that no server can fill the memory, and no sender the stack. Bytes give or take a chunk. */
const LIMITS: StanzaLimits = { bytes: 16 * 1024 * 1024, elements: 500_000, depth: 64 }

/**
 * Measures the stanza that is arriving.
 *
 * Too many bytes or elements end the stream: they could be without end. One that is too deep is only
 * dropped: servers pass on whatever a user nests within their size, and no user may end our stream.
 */
export function createStanzaLimits(changed: Partial<StanzaLimits> = {}) {
  const limits = { ...LIMITS, ...changed }
  // The stream's own element is the first level.
  let depth = 0
  let bytes = 0
  let elements = 0
  let isTooDeep = false

  return {
    /** @param sax Tells each start and end of an element; throws out of its `write`. */
    watch(sax: EventEmitter): void {
      sax.on('startElement', () => {
        if (++depth > limits.depth) isTooDeep = true
        if (++elements > limits.elements) throw new Error(`more than ${limits.elements} elements`)
      })
      sax.on('endElement', () => depth--)
    },
    /** Before it is parsed: a stanza that ends in it ends the count. */
    add(chunk: Buffer): void {
      bytes += chunk.length
    },
    /** @throws Error What is left unfinished has more than a stanza may have. */
    check(): void {
      if (bytes > limits.bytes) throw new Error(`a stanza of more than ${limits.bytes} bytes`)
    },
    /** Whether a stanza has begun and not ended. */
    isUnfinished: () => depth > 1,
    /** The stanza has ended. @returns Whether it may be looked at. */
    finish(): boolean {
      const isFine = !isTooDeep
      bytes = elements = 0
      isTooDeep = false
      return isFine
    },
  }
}
