import { StanzaError } from '../errors.js'
import type { Element } from './xml.js'

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
