import { toBareJid } from '../xmpp/jid.js'
import { NS_COMMANDS, NS_DISCO_INFO, NS_DISCO_ITEMS } from '../xmpp/namespaces.js'
import { answerDisco, getOnlyChild, type DiscoEntity } from '../xmpp/service.js'
import { createErrorText, createReply, createStanzaError } from '../xmpp/stanza-error.js'
import { xml, type Element } from '../xmpp/xml.js'
import type { AdHoc, OfferedCommand } from './ad-hoc.js'
import type { AnswerLimit } from './answer-limit.js'
import type { ChatAccess } from './chat-access.js'
import type { MessagingClient } from './messaging-client.js'

/** A client asks for the address, its commands, and the description of each command at the same time. */
const MAX_WAITING = 20

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
  const waiting = createWaitingCount()

  /** Replies to the request when Prosody has answered whether the exporter may serve the person. */
  async function reply(
    iq: Element,
    person: string,
    createPayload: (isAllowed: boolean) => Promise<Element> | Element,
  ): Promise<void> {
    if (!waiting.add(person)) {
      send(() => createReply(iq, createStanzaError('wait', 'resource-constraint')))
      return
    }
    const isAllowed = await access.isAllowed(person).finally(() => {
      waiting.remove(person)
    })
    const payload = await createPayload(isAllowed)
    send(() => createReply(iq, payload))
  }

  async function answer(iq: Element, person: string): Promise<Element> {
    const { from = '', type } = iq.attrs
    const child = getOnlyChild(iq)
    if (!child) return createStanzaError('modify', 'bad-request')
    if (type === 'set' && child.is('command', NS_COMMANDS)) {
      // An answer is due in any case (RFC 6120 §8.2.3).
      if (!limit.admitRequest(person)) return createTooMany()
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
    const person = findListed(iq.attrs['from'] ?? '')
    if (person === undefined) return false
    const createItem = () => xml('item', { jid: client.address(), name: 'Alerts and questions' })
    // Without the item, the answer is that for all other people.
    const createItems = (isAllowed: boolean) =>
      xml('query', { xmlns: NS_DISCO_ITEMS }, isAllowed ? createItem() : undefined)
    runInBackground(reply(iq, person, createItems))
    return true
  }

  return (iq) => {
    const { from, to } = iq.attrs
    if (!from || !to) return false
    if (to === client.domain()) return listAddress(iq)
    if (toBareJid(to) !== client.address()) return false
    const person = findListed(from)
    if (person === undefined) send(() => createReply(iq, createForbidden()))
    else {
      const createPayload = (isAllowed: boolean) =>
        isAllowed ? answer(iq, person) : createForbidden()
      runInBackground(reply(iq, person, createPayload))
    }
    return true
  }
}

/** Counts the requests that wait for a check. Each of them keeps its stanza in memory. */
function createWaitingCount() {
  const counts = new Map<string, number>()
  const change = (person: string, by: number) => {
    const count = (counts.get(person) ?? 0) + by
    if (count > 0) counts.set(person, count)
    else counts.delete(person)
  }
  return {
    /** Returns false if too many requests of the person wait. */
    add(person: string): boolean {
      if ((counts.get(person) ?? 0) >= MAX_WAITING) return false
      change(person, 1)
      return true
    },
    remove: (person: string): void => {
      change(person, -1)
    },
  }
}

const createTooMany = () =>
  createStanzaError(
    'wait',
    'policy-violation',
    createErrorText('The exporter sends at most 10 answers per minute. Try again in a minute.'),
  )

const createForbidden = () => createStanzaError('auth', 'forbidden')
