import { StanzaError } from '../errors.js'
import { xml, type Element } from './xml.js'

const NS_STANZAS = 'urn:ietf:params:xml:ns:xmpp-stanzas'

/**
 * Reads the condition, the type and the text of an iq of the type `error`. Their defaults are `undefined-condition`,
 * `cancel` and an empty text.
 *
 * @see RFC 6120 §8.3.2
 */
export function readError(iq: Element): StanzaError {
  const error = iq.getChild('error')
  const condition = error
    ?.getChildElements()
    .find((child) => child.getNS() === NS_STANZAS && child.getName() !== 'text')
  return new StanzaError(
    condition?.getName() ?? 'undefined-condition',
    error?.attrs['type'] ?? 'cancel',
    error?.getChildText('text', NS_STANZAS) ?? '',
  )
}

/**
 * Creates the element `error` of a reply.
 *
 * @param detail A text, or the condition of a protocol that RFC 6120 does not define, if there is one.
 * @see RFC 6120 §8.3.2
 */
export function createStanzaError(
  type: 'auth' | 'cancel' | 'modify' | 'wait',
  condition: string,
  detail?: Element,
): Element {
  return xml('error', { type }, xml(condition, { xmlns: NS_STANZAS }), detail)
}

/** Creates an explanation for people, which is a child of the element `error`. @see RFC 6120 §8.3.2 */
export function createErrorText(text: string): Element {
  return xml('text', { xmlns: NS_STANZAS, 'xml:lang': 'en' }, text)
}

/** Creates the reply to a request: an error if the payload is the element `error`, otherwise a result. */
export function createReply(iq: Element, payload?: Element): Element {
  const { from, to, id } = iq.attrs
  const type = payload?.name === 'error' ? 'error' : 'result'
  return xml('iq', { type, id, from: to, to: from }, payload)
}
