import { copyString } from '../metrics/copy-string.js'
import { getDomain, toBareJid } from '../xmpp/jid.js'
import { NS_RECEIPTS, NS_STANZA_ID } from '../xmpp/namespaces.js'
import { xml, type Element } from '../xmpp/xml.js'
import { clip, removeControls } from './plain-text.js'

const MAX_DELAY_MS = 60_000
const MAX_QUESTION_LENGTH = 1000
const MAX_ANSWER_LENGTH = 4000

/** A question that a person asked in chat. */
export type Question = {
  /** The address to which the exporter answers. */
  readonly from: string
  /** The bare JID of the person. */
  readonly person: string
  /** Undefined if the message is encrypted. */
  readonly text: string | undefined
}

/**
 * Reads the question in a message. Returns undefined for a message that is no question: other types of messages, old
 * messages, and messages that clients and servers send by themselves. An answer to one of these could start a loop.
 *
 * @param options.address The bare JID to which people write.
 * @param options.nowMs The time, in milliseconds since 1970.
 */
export function readQuestion(
  message: Element,
  { address, nowMs }: { readonly address: string; readonly nowMs: number },
): Question | undefined {
  const { from, to, type = 'normal' } = message.attrs
  if (from === undefined || to === undefined || toBareJid(to) !== address) return undefined
  if (type !== 'chat' && type !== 'normal') return undefined
  const person = toBareJid(from)
  if (getDomain(person) === getDomain(address)) return undefined
  const children = message.getChildElements()
  if (children.some((child) => isAutomatic(child) || isOld(child, nowMs))) return undefined
  if (children.some(isEncrypted)) return { from: copyString(from), person, text: undefined }
  const text = removeQuotation(message.getChildText('body') ?? '')
    .trim()
    .slice(0, MAX_QUESTION_LENGTH)
  // Questions wait for the check of the domain. Without the copies, each would keep its whole stanza in memory.
  return text ? { from: copyString(from), person, text: copyString(text) } : undefined
}

/** Removes the lines at the start of a reply that repeat another message. @see XEP-0393 §5.1.3, XEP-0461 §3.1 */
const removeQuotation = (body: string) => body.replace(/^(?:>[^\n]*(?:\n|$))+/, '')

const AUTOMATIC_NAMESPACES: ReadonlySet<string> = new Set([
  // Copies of messages: XEP-0280 (Message Carbons), XEP-0297 (Stanza Forwarding), XEP-0313 (archives).
  ...['urn:xmpp:carbons:2', 'urn:xmpp:forward:0', 'urn:xmpp:mam:2'],
  // Events of PubSub (XEP-0060).
  'http://jabber.org/protocol/pubsub#event',
  // Invitations to rooms (XEP-0249), and reactions (XEP-0444).
  ...['jabber:x:conference', 'urn:xmpp:reactions:0'],
])
/** Retractions (XEP-0424). An old version uses XEP-0422. */
const RETRACTION = /^urn:xmpp:(?:message-retract|fasten):/
const OMEMO_NAMESPACES: ReadonlySet<string> = new Set([
  ...['eu.siacs.conversations.axolotl', 'urn:xmpp:omemo:1', 'urn:xmpp:omemo:2'],
])
const NS_MARKERS = 'urn:xmpp:chat-markers:0'

/** Whether a client or a server sends messages with this element without a question of a person. */
function isAutomatic(child: Element): boolean {
  const xmlns = child.getNS() ?? ''
  const name = child.getName()
  // A question can ask for a receipt (XEP-0184) or a marker (XEP-0333), but it is neither of them.
  const isConfirmation =
    (xmlns === NS_RECEIPTS && name === 'received') || (xmlns === NS_MARKERS && name !== 'markable')
  return isConfirmation || AUTOMATIC_NAMESPACES.has(xmlns) || RETRACTION.test(xmlns)
}

/** Whether this element has the text of an encrypted message. Clients send keys without a text by themselves. @see XEP-0384 */
function isEncrypted(child: Element): boolean {
  const isOmemo = OMEMO_NAMESPACES.has(child.getNS() ?? '') && child.getName() === 'encrypted'
  return isOmemo && child.getChild('payload') !== undefined
}

/** Whether this element says that the message was delayed for more than a minute, or at an unknown time. @see XEP-0203 */
function isOld(child: Element, nowMs: number): boolean {
  if (!child.is('delay', 'urn:xmpp:delay')) return false
  const sentAtMs = Date.parse(child.attrs['stamp'] ?? '')
  return !(nowMs - sentAtMs <= MAX_DELAY_MS)
}

/**
 * Creates a message with an answer. It asks for no receipt, so that no client sends one. It has no storage hint, because
 * people read answers later too.
 *
 * @param id An unpredictable id. @see XEP-0359 §3
 */
export function createAnswer(answer: {
  readonly from: string
  readonly to: string
  readonly id: string
  readonly text: string
}): Element {
  const { from, to, id, text } = answer
  return xml(
    'message',
    { type: 'chat', id, from, to },
    xml('body', {}, clip(removeControls(text), MAX_ANSWER_LENGTH)),
    xml('origin-id', { xmlns: NS_STANZA_ID, id }),
  )
}
