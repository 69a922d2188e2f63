import xml, { type Element } from '@xmpp/xml'

/** The children of what is parsed as the inside of one element, as far as the parser takes it. */
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
    // What the parser does with bytes is the target stream's.
    if (!(error instanceof Error)) throw error
  }
  return children
}
