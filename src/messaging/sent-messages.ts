import type { StanzaError } from '../errors.js'
import { toBareJid } from '../xmpp/jid.js'
import { readError } from '../xmpp/stanza-error.js'
import type { Element } from '../xmpp/xml.js'
import { readOwnIds } from './message-stanza.js'

const MAX_SENT = 2000

/** The functions for events about a sent message. They can be called long after its delivery has ended. */
export type SentMessage = {
  /** `from` is the address that answered, which can be a client of the recipient. */
  readonly onError: (error: StanzaError, from: string) => void
  /** Called when a room sends the message to its occupants. `from` is the occupant that sent it. */
  readonly onReflection?: (from: string) => void
}

export type SentMessages = {
  add(to: string, id: string, message: SentMessage): void
  /** Handles a message from the server. Returns whether it was an error or a reflection of a message in this memory. */
  handle(stanza: Element): boolean
}

/** Remembers the last messages that were sent, and recognizes errors and reflections of them. */
export function createSentMessages(): SentMessages {
  const messages = new Map<string, SentMessage>()
  const find = (from: string, id: string) => messages.get(getKey(toBareJid(from), id))

  return {
    add(to, id, message) {
      const key = getKey(to, id)
      messages.delete(key)
      messages.set(key, message)
      if (messages.size > MAX_SENT) messages.delete(messages.keys().next().value!)
    },
    handle(stanza) {
      const { from, type, id } = stanza.attrs
      if (from === undefined || (type !== 'error' && type !== 'groupchat')) return false
      if (type === 'error') {
        const sent = id === undefined ? undefined : find(from, id)
        sent?.onError(readError(stanza), from)
        return sent !== undefined
      }
      const sent = readOwnIds(stanza)
        .map((each) => find(from, each))
        .find((each) => each?.onReflection)
      sent?.onReflection?.(from)
      return sent !== undefined
    },
  }
}

// A JID contains no space, because configured JIDs are checked.
const getKey = (to: string, id: string) => `${to} ${id}`
