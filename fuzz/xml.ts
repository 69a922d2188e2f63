import xml, { type Element } from '@xmpp/xml'

/** Parses `text` as the content of one XML element, and returns the child elements before the first syntax error. */
export function parseChildren(text: string): Element[] {
  const children: Element[] = []
  const parser = new xml.Parser()
  parser.on('element', (element: Element) => children.push(element))
  parser.on('error', (error: Error) => {
    throw error
  })
  try {
    parser.write(`<stream xmlns='jabber:component:accept'>${text}`)
  } catch (error) {
    // An input may have a syntax error, because the fuzz target `stream` already tests the XML parser.
    if (!(error instanceof Error)) throw error
  }
  return children
}
