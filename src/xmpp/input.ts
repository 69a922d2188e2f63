import { StringDecoder } from 'node:string_decoder'

export type Input = {
  /**
   * Adds a chunk of data. Returns the buffered and the new text up to the last `>`, for the parser; empty if the chunk
   * has no `>`.
   *
   * @throws Error The text has `<!` not followed by `[CDATA[`: a comment, a document type or an entity declaration,
   *   which XMPP forbids.
   */
  push(chunk: Buffer): string
  /** Whether the buffer has the beginning of a tag or of a text, and not only white space. */
  hasTail(): boolean
}

// Comments, document types and entity declarations, which XMPP forbids (RFC 6120 §11.1). The parser, ltx, takes each of
// them for a comment, and ignores all data until `-->` or `]]>`, which may never arrive.
const RESTRICTED = /<!(?!\[CDATA\[)/

/**
 * Decodes the bytes of a socket for the parser.
 *
 * - A character whose bytes arrive in two chunks is decoded correctly. The XMPP library decodes each chunk separately,
 *   and corrupts such a character.
 * - The text after the last `>` is buffered until the next `>` arrives. The parser, ltx, is slow if its input ends
 *   inside a text, because it searches for the next `<` again at each character. A text of 64 KB takes 27 ms.
 */
export function createInput(): Input {
  const decoder = new StringDecoder('utf8')
  let tail: string[] = []
  let isBlank = true

  return {
    push(chunk) {
      const text = decoder.write(chunk)
      const end = text.lastIndexOf('>') + 1
      const rest = text.slice(end)
      let ready = ''
      if (end > 0) {
        ready = tail.join('') + text.slice(0, end)
        tail = []
        isBlank = true
      }
      if (rest !== '') tail.push(rest)
      isBlank &&= !/\S/.test(rest)
      if (RESTRICTED.test(ready))
        throw new Error('an XML comment or declaration, which XMPP forbids')
      return ready
    },
    hasTail: () => !isBlank,
  }
}
