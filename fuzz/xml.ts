import xml, { type Element } from '@xmpp/xml'

/** Parses the text as the content of one element, and returns the children before the first syntax error. */
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
    // A syntax error is fine here. The target `stream` tests the parser.
    if (!(error instanceof Error)) throw error
  }
  return children
}
