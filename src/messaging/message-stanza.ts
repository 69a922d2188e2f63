import { NS_RECEIPTS, NS_STANZA_ID } from '../xmpp/namespaces.js'
import { xml, type Element } from '../xmpp/xml.js'

/** XEP-0334 */
const NS_HINTS = 'urn:xmpp:hints'
/** XEP-0308 */
const NS_CORRECTION = 'urn:xmpp:message-correct:0'

export type OutgoingMessage = {
  readonly from: string
  /** The bare JID of a person or a room. */
  readonly to: string
  /** `chat` for a person, `groupchat` for a room. */
  readonly type: 'chat' | 'groupchat'
  readonly id: string
  readonly text: string
  /** The id of the earlier message that this one replaces (XEP-0308). */
  readonly replaces?: string | undefined
}

/**
 * Creates the stanza of a message. Its hint asks the server to store the message for a person who is offline, and in
 * archives. Only a person gets the request for a receipt, because all occupants of a room would answer it (XEP-0184 §5.3).
 */
export function createMessage({ from, to, type, id, text, replaces }: OutgoingMessage): Element {
  return xml(
    'message',
    { from, to, type, id },
    xml('body', {}, text),
    // A room can replace the id of the stanza, but not this one (XEP-0359 §3.2).
    xml('origin-id', { xmlns: NS_STANZA_ID, id }),
    type === 'chat' ? xml('request', { xmlns: NS_RECEIPTS }) : undefined,
    xml('store', { xmlns: NS_HINTS }),
    replaces === undefined ? undefined : xml('replace', { xmlns: NS_CORRECTION, id: replaces }),
  )
}

/** Returns the ids under which the sender of a message can recognize it. */
export function readOwnIds(message: Element): readonly string[] {
  const ids = [message.attrs['id'], message.getChild('origin-id', NS_STANZA_ID)?.attrs['id']]
  return ids.filter((id) => id !== undefined)
}

/** Returns the id of the message for which this message is a receipt; `undefined` if it is none. */
export function readReceipt(message: Element): string | undefined {
  return message.getChild('received', NS_RECEIPTS)?.attrs['id']
}
