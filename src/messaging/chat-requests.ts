import { toBareJid } from '../xmpp/jid.js'
import { NS_COMMANDS, NS_DISCO_INFO, NS_DISCO_ITEMS } from '../xmpp/namespaces.js'
import { answerDisco, type DiscoEntity } from '../xmpp/service.js'
import { createReply, createStanzaError } from '../xmpp/stanza-error.js'
import { xml, type Element } from '../xmpp/xml.js'
import type { AdHoc, OfferedCommand } from './ad-hoc.js'
import type { AnswerLimit } from './answer-limit.js'
import type { ChatAccess } from './chat-access.js'
import type { MessagingClient } from './messaging-client.js'

export type ChatRequestsOptions = {
  readonly client: Pick<MessagingClient, 'address' | 'domain'>
  readonly access: ChatAccess
  readonly limit: AnswerLimit
  readonly adHoc: AdHoc
  readonly offered: () => readonly OfferedCommand[]
  /** Returns the entry of a JID in `chat.allow`. */
  readonly findListed: (jid: string) => string | undefined
  readonly send: (create: () => Element) => void
  readonly runInBackground: (answered: Promise<void>) => void
}

/**
 * Creates a function that answers requests to the address of the exporter for people: service discovery and ad-hoc
 * commands. It returns whether the request is for this address.
 */
export function createRequestHandler(options: ChatRequestsOptions): (iq: Element) => boolean {
  const { client, access, limit, adHoc, offered, findListed, send, runInBackground } = options

  async function answer(iq: Element, person: string): Promise<void> {
    const isAllowed = await access.waitFor(person)
    const payload = isAllowed ? await createPayload(iq, person) : createForbidden()
    send(() => createReply(iq, payload))
  }

  async function createPayload(iq: Element, person: string): Promise<Element> {
    const { from = '', type } = iq.attrs
    const child = getOnlyChild(iq)
    if (!child) return createStanzaError('modify', 'bad-request')
    if (type === 'set' && child.is('command', NS_COMMANDS)) {
      // An answer is due in any case (RFC 6120 §8.2.3).
      if (!limit.admitRequest(person)) return createStanzaError('wait', 'policy-violation')
      return await adHoc.answer(child, { from, person })
    }
    const answer = type === 'get' ? answerDisco(child, describeAddress()) : undefined
    return answer ?? createStanzaError('cancel', 'service-unavailable')
  }

  function describeAddress(): DiscoEntity {
    return {
      jid: client.address(),
      identity: { category: 'client', type: 'bot', name: 'prosody-exporter' },
      features: [NS_COMMANDS, NS_DISCO_INFO, NS_DISCO_ITEMS],
      commands: offered().map(({ node, name }) => ({ node, name })),
    }
  }

  /** Lists the address for people in the items of the component's domain, for the people whom the exporter serves. */
  function listAddress(iq: Element): boolean {
    const child = getOnlyChild(iq)
    const isItems = iq.attrs['type'] === 'get' && child?.is('query', NS_DISCO_ITEMS)
    if (!isItems || child?.attrs['node']) return false
    if (!access.isAllowed(toBareJid(iq.attrs['from'] ?? ''))) return false
    const item = xml('item', { jid: client.address(), name: 'Alerts and questions' })
    send(() => createReply(iq, xml('query', { xmlns: NS_DISCO_ITEMS }, item)))
    return true
  }

  return (iq) => {
    const { from, to } = iq.attrs
    if (!from || !to) return false
    if (to === client.domain()) return listAddress(iq)
    if (toBareJid(to) !== client.address()) return false
    const person = findListed(from)
    if (person === undefined) send(() => createReply(iq, createForbidden()))
    else runInBackground(answer(iq, person))
    return true
  }
}

const createForbidden = () => createStanzaError('auth', 'forbidden')

/** Returns the child of a valid request. @see RFC 6120 §8.2.3 */
function getOnlyChild(iq: Element): Element | undefined {
  const { id, type } = iq.attrs
  const [child, ...others] = iq.getChildElements()
  return id && (type === 'get' || type === 'set') && others.length === 0 ? child : undefined
}
