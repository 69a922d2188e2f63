import { StringDecoder } from 'node:string_decoder'

export type Input = {
  /**
   * The text that can be parsed now; empty when the chunk completes no tag.
   *
   * @throws Error The text has what XMPP forbids, see `RESTRICTED`.
   */
  push(chunk: Buffer): string
  /** Whether a piece of a tag or of text, not only white space, is kept for later. */
  hasTail(): boolean
}

// Comments, document types and entities (RFC 6120 §11.1). ltx takes what follows for a part of them,
// all of it, and would say nothing any more.
const RESTRICTED = /<!(?!\[CDATA\[)/

/**
 * Bytes of a socket as text for the parser.
 *
 * - A character that two chunks share arrives whole (the library decodes each chunk alone).
 * - What follows the last `>` can complete no tag, so it is kept until its tag is whole: on a chunk
 *   that ends inside a text, ltx searches its `<` anew for every character (64 KB: 27 ms).
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
      if (RESTRICTED.test(ready)) throw new Error('a comment or a declaration, which XMPP forbids')
      return ready
    },
    hasTail: () => !isBlank,
  }
}
