import type { EventEmitter } from 'node:events'

export type StanzaLimits = {
  readonly bytes: number
  readonly elements: number
  readonly depth: number
}

/**
 * The limits of one stanza, which protect the memory and the stack. The limit of bytes has a tolerance of one chunk.
 */
const LIMITS: StanzaLimits = { bytes: 16 * 1024 * 1024, elements: 500_000, depth: 64 }

/**
 * Measures the stanza that the exporter is receiving.
 *
 * A stanza with too many bytes or elements ends the stream, because the stanza may never be complete. A stanza that is
 * nested too deeply is only dropped: servers forward the stanzas of users, and a user must not be able to end the
 * stream.
 */
export function createStanzaLimits(changed: Partial<StanzaLimits> = {}) {
  const limits = { ...LIMITS, ...changed }
  // The depth of the element that the parser is reading. The root element of the stream has depth 1.
  let depth = 0
  let bytes = 0
  let elements = 0
  let isTooDeep = false

  return {
    /**
     * Counts the elements that a parser reads.
     *
     * @param sax The parser. Its `write` throws the errors that this function throws in handlers of its events.
     */
    watch(sax: EventEmitter): void {
      sax.on('startElement', () => {
        if (++depth > limits.depth) isTooDeep = true
        if (++elements > limits.elements)
          throw new Error(`a stanza of more than ${limits.elements} elements`)
      })
      sax.on('endElement', () => depth--)
    },
    /**
     * Counts the bytes of a chunk. Call it before the chunk is parsed, because the end of a stanza resets the count.
     */
    add(chunk: Buffer): void {
      bytes += chunk.length
    },
    /** @throws Error The unfinished stanza has too many bytes. */
    check(): void {
      if (bytes > limits.bytes) throw new Error(`a stanza of more than ${limits.bytes} bytes`)
    },
    /** Whether a stanza has begun but not ended. */
    isUnfinished: () => depth > 1,
    /** Resets the counts at the end of a stanza. @returns Whether the nesting of the stanza is within the limit. */
    finish(): boolean {
      const isAccepted = !isTooDeep
      bytes = elements = 0
      isTooDeep = false
      return isAccepted
    },
  }
}
