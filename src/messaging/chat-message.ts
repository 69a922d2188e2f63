import { getDomain, toBareJid } from '../xmpp/jid.js'
import { NS_RECEIPTS } from '../xmpp/namespaces.js'
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
  readonly text: string
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
  // Questions wait for the check of the hosts, so a long text would fill the memory. A command is shorter than this.
  const text = message.getChildText('body')?.slice(0, MAX_QUESTION_LENGTH).trim()
  return text ? { from, person, text } : undefined
}

const AUTOMATIC_NAMESPACES: ReadonlySet<string> = new Set([
  // Copies of messages: XEP-0280 (Message Carbons), XEP-0297 (Stanza Forwarding), XEP-0313 (archives).
  ...['urn:xmpp:carbons:2', 'urn:xmpp:forward:0', 'urn:xmpp:mam:2'],
  // Events of PubSub (XEP-0060).
  'http://jabber.org/protocol/pubsub#event',
])
const NS_MARKERS = 'urn:xmpp:chat-markers:0'

/** Whether a client or a server sends messages with this element without a question of a person. */
function isAutomatic(child: Element): boolean {
  const xmlns = child.getNS() ?? ''
  const name = child.getName()
  // A question can ask for a receipt (XEP-0184) or a marker (XEP-0333), but it is neither of them.
  const isConfirmation =
    (xmlns === NS_RECEIPTS && name === 'received') || (xmlns === NS_MARKERS && name !== 'markable')
  return isConfirmation || AUTOMATIC_NAMESPACES.has(xmlns)
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
    xml('origin-id', { xmlns: 'urn:xmpp:sid:0', id }),
  )
}
