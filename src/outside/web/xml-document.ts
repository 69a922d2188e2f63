import type { Element } from '../../xmpp/xml.js'
import { createStreamReader } from '../probe/stream-reader.js'

/**
 * Parses a complete XML document from the network: a host-meta, the body of a BOSH response, or a WebSocket message. The
 * limits are those of a stream.
 *
 * @returns The root element with its children, or undefined if the text is no well-formed document, has a document type,
 *   or exceeds a limit.
 */
export function parseXmlDocument(text: string): Element | undefined {
  const content = removeComments(text.replace(/^\uFEFF/, ''))?.trim()
  if (!content) return undefined
  const reader = createStreamReader()
  try {
    reader.push(Buffer.from(content))
  } catch {
    return undefined
  }
  const root = reader.getRoot()
  if (!root || !reader.hasEnded()) return undefined
  // The reader does not append the children of the root, because in a stream it would collect all stanzas.
  for (let child = reader.take(); child; child = reader.take()) root.append(child)
  return root
}

/** Removes comments, which a host-meta can have and XMPP forbids. Returns undefined if a comment has no end. */
function removeComments(text: string): string | undefined {
  const parts: string[] = []
  let at = 0
  for (;;) {
    const from = text.indexOf('<!--', at)
    if (from < 0) break
    const to = text.indexOf('-->', from + 4)
    if (to < 0) return undefined
    parts.push(text.slice(at, from))
    at = to + 3
  }
  return parts.join('') + text.slice(at)
}
