import { createInput } from '../../xmpp/input.js'
import { createStanzaLimits } from '../../xmpp/stanza-limits.js'
import { createParser, type Element } from '../../xmpp/xml.js'

/** Reads one stream of XMPP from the other side. */
export type StreamReader = {
  /** @throws {Error} The data is not well-formed, has parts that XMPP forbids, or exceeds a limit. */
  push(chunk: Buffer): void
  /** The root element, whose children are never part of it. `undefined` until it has arrived. */
  getRoot(): Element | undefined
  /** Removes and returns the oldest complete child of the root. */
  take(): Element | undefined
  /** Whether the root element has ended. */
  hasEnded(): boolean
}

/** The limits of a whole stream. The features of a server have about 1 KB. */
const MAX_BYTES = 64 * 1024
const LIMITS = { elements: 2000, depth: 32 }

export function createStreamReader(): StreamReader {
  const input = createInput()
  const limits = createStanzaLimits(LIMITS)
  const parser = createParser()
  const elements: Element[] = []
  let bytes = 0
  let hasEnded = false

  limits.watch(parser.parser)
  parser.on('element', (element: Element) => {
    if (!limits.finish())
      throw new Error(`XML that is nested more than ${LIMITS.depth} levels deep`)
    elements.push(element)
  })
  parser.on('end', () => {
    hasEnded = true
  })
  // The exception leaves the parser immediately, and the caller of `push` gets it.
  parser.on('error', (error: Error) => {
    throw error
  })

  return {
    push(chunk) {
      bytes += chunk.length
      if (bytes > MAX_BYTES) throw new Error(`more than ${MAX_BYTES} bytes`)
      // Nothing of a stream follows the end of its root element.
      if (hasEnded) return
      const text = input.push(chunk)
      if (text !== '') parser.write(text)
    },
    getRoot: () => parser.root ?? undefined,
    take: () => elements.shift(),
    hasEnded: () => hasEnded,
  }
}
