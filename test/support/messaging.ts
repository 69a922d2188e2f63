// Helpers for unit tests of src/messaging: a fake stream to a server, a log, and stanzas as a server sends them.

import xml, { type Element } from '@xmpp/xml'
import { setImmediate } from 'node:timers/promises'
import { LinkError, StanzaError } from '../../src/errors.js'
import type { Log } from '../../src/log/log.js'
import type { MessagingClient } from '../../src/messaging/messaging-client.js'

export const ADDRESS = 'alerts@stats.example'
const NS_MUC_USER = 'http://jabber.org/protocol/muc#user'
const NS_STANZAS = 'urn:ietf:params:xml:ns:xmpp-stanzas'

type FakeRequest = {
  readonly to: string
  readonly child: Element
  readonly answer: (reply?: Element) => void
  readonly fail: (error: Error) => void
}

/** Creates a stream whose server answers nothing by itself. Tests answer the requests. */
export function createFakeStream() {
  const stanzas: Element[] = []
  const requests: FakeRequest[] = []
  let isOnline = true
  let sendError: Error | undefined
  const requireOnline = () => {
    if (!isOnline) throw new LinkError('no stream to xmpp://localhost')
  }
  const client: MessagingClient = {
    domain: () => 'stats.example',
    address: () => ADDRESS,
    isConnected: () => isOnline,
    send: (stanza) => {
      requireOnline()
      if (sendError) throw sendError
      stanzas.push(stanza)
    },
    request: async (type, child, { to = 'stats.example' }) => {
      requireOnline()
      return await new Promise<Element>((resolve, reject) => {
        const answer = (reply = xml('iq', { type: 'result' })) => {
          resolve(reply)
        }
        requests.push({ to, child, answer, fail: reject })
      })
    },
  }
  return {
    client,
    /** All stanzas that were sent so far, without the requests. */
    stanzas,
    /** Removes and returns the stanzas that were sent since the last call. */
    take: () => stanzas.splice(0),
    /** Removes and returns the next request to this address. Fails if there is none. */
    request: (to = 'stats.example'): FakeRequest => {
      const at = requests.findIndex((each) => each.to === to)
      if (at === -1) throw new Error(`no request to ${to}`)
      return requests.splice(at, 1)[0]!
    },
    countRequests: () => requests.length,
    /** Ends the stream: the requests fail, and nothing can be sent. */
    disconnect: () => {
      isOnline = false
      for (const { fail } of requests.splice(0)) fail(new LinkError('the stream was lost'))
    },
    connect: () => {
      isOnline = true
    },
    /** Makes each later call of `send` throw this error. */
    failToSend: (error: Error) => {
      sendError = error
    },
  }
}

export type FakeStream = ReturnType<typeof createFakeStream>

export function createFakeLog() {
  const lines: { readonly level: keyof Log; readonly message: string }[] = []
  const line = (level: keyof Log) => (message: string) => {
    lines.push({ level, message })
  }
  const log: Log = {
    debug: line('debug'),
    info: line('info'),
    warn: line('warn'),
    error: line('error'),
  }
  /** Removes and returns the lines above the level debug that were logged since the last call. */
  const take = () =>
    lines
      .splice(0)
      .filter(({ level }) => level !== 'debug')
      .map(({ level, message }) => `${level}: ${message}`)
  return { log, take }
}

/** Lets all promises that can settle do so. */
export async function settle(): Promise<void> {
  for (let i = 0; i < 5; i++) await setImmediate()
}

/** The answer of a MUC service to disco#info about a room. */
export const roomInfo = (category = 'conference') =>
  xml(
    'iq',
    { type: 'result' },
    xml(
      'query',
      { xmlns: 'http://jabber.org/protocol/disco#info' },
      xml('identity', { category, type: 'text' }),
    ),
  )

export const stanzaError = (condition: string, type = 'cancel') =>
  new StanzaError(condition, type, '')

const errorElement = (condition: string, type: string) =>
  xml('error', { type }, xml(condition, { xmlns: NS_STANZAS }))

/** The error with which a server answers to a message or presence. */
export const errorFor = (stanza: Element, condition: string, type = 'cancel') =>
  xml(
    stanza.name,
    { type: 'error', from: stanza.attrs['to'], to: stanza.attrs['from'], id: stanza.attrs['id'] },
    errorElement(condition, type),
  )

/** The presence of an occupant of a room with status codes. */
export const occupantPresence = (
  from: string,
  codes: readonly string[],
  { type, isDestroyed = false }: { type?: string; isDestroyed?: boolean } = {},
) =>
  xml(
    'presence',
    { from, to: `${ADDRESS}/exporter`, type },
    xml(
      'x',
      { xmlns: NS_MUC_USER },
      isDestroyed ? xml('destroy') : undefined,
      codes.map((code) => xml('status', { code })),
    ),
  )

/** The message that a room sends to its occupants. A room can replace the id of the message. */
export const reflectionOf = (message: Element, occupant: string, id = message.attrs['id']) =>
  xml(
    'message',
    { from: occupant, to: message.attrs['from'], type: 'groupchat', id },
    ...message.getChildElements(),
  )
