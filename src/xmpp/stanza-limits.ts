import type { EventEmitter } from 'node:events'

export type StanzaLimits = {
  readonly bytes: number
  readonly elements: number
  readonly depth: number
}

/** Limits that protect the memory and the stack. The bytes are exact to one chunk. */
const LIMITS: StanzaLimits = { bytes: 16 * 1024 * 1024, elements: 500_000, depth: 64 }

/**
 * Measures the stanza that is being received.
 *
 * Too many bytes or elements end the stream, because the stanza may never end. A stanza that is nested too deeply is only
 * dropped, because servers forward the stanzas of users, and a user must not be able to end the stream.
 */
export function createStanzaLimits(changed: Partial<StanzaLimits> = {}) {
  const limits = { ...LIMITS, ...changed }
  // The root element of the stream is the first level.
  let depth = 0
  let bytes = 0
  let elements = 0
  let isTooDeep = false

  return {
    /** @param sax Emits the start and the end of each element. An error thrown here leaves its `write`. */
    watch(sax: EventEmitter): void {
      sax.on('startElement', () => {
        if (++depth > limits.depth) isTooDeep = true
        if (++elements > limits.elements) throw new Error(`more than ${limits.elements} elements`)
      })
      sax.on('endElement', () => depth--)
    },
    /** Adds a chunk. Call it before the chunk is parsed, because the end of a stanza resets the count. */
    add(chunk: Buffer): void {
      bytes += chunk.length
    },
    /** @throws Error The unfinished stanza has too many bytes. */
    check(): void {
      if (bytes > limits.bytes) throw new Error(`a stanza of more than ${limits.bytes} bytes`)
    },
    /** Whether a stanza has begun but not ended. */
    isUnfinished: () => depth > 1,
    /** Resets the counts at the end of a stanza. @returns Whether the stanza is within the limits. */
    finish(): boolean {
      const isAccepted = !isTooDeep
      bytes = elements = 0
      isTooDeep = false
      return isAccepted
    },
  }
}
