/** A user's client and another component, each a few lines over a socket: outsiders for the tests. */

import xml, { type Element } from '@xmpp/xml'
import { createHash, randomUUID } from 'node:crypto'
import { once } from 'node:events'
import { connect } from 'node:net'

export type XmppStream = {
  /** What the server called the stream. */
  id(): string
  /** Sends text or a stanza as it is. */
  send(stanza: Element | string): void
  /** The first stanza not yet taken that `matches`, waited for; rejects when the stream ends. */
  next(matches: (stanza: Element) => boolean): Promise<Element>
  /** Opens the stream anew on the same connection, after SASL. @see RFC 6120 §6.4.6 */
  restart(): Promise<void>
  /** Sends an iq and resolves its reply, a result or an error. */
  iq(type: 'get' | 'set', to: string, child: Element, attrs?: Attributes): Promise<Element>
  /** Ends the connection; resolves when it is closed. */
  close(): Promise<void>
}

type Attributes = Readonly<Record<string, string>>

const TIMEOUT_MS = 10_000

async function openStream(port: number, to: string, xmlns: string): Promise<XmppStream> {
  const socket = connect(port, '127.0.0.1')
  await once(socket, 'connect')
  socket.setNoDelay(true).setEncoding('utf8')

  const received: Element[] = []
  let id: string | undefined
  let ended: Error | undefined
  const watchers = new Set<() => void>()
  const look = () => {
    for (const watcher of watchers) watcher()
  }
  let parser = new xml.Parser()
  socket.on('data', (text) => {
    parser.write(String(text))
  })
  socket.on('error', (error) => {
    ended = error
  })
  socket.on('close', () => {
    ended ??= new Error(`the server closed the stream to ${to}`)
    look()
  })

  const until = <T>(what: string, check: () => T | undefined): Promise<T> =>
    new Promise((resolve, reject) => {
      const done = () => {
        clearTimeout(timer)
        watchers.delete(watcher)
      }
      const watcher = () => {
        const answer = check()
        if (answer !== undefined) {
          done()
          resolve(answer)
        } else if (ended) {
          done()
          reject(ended)
        }
      }
      const timer = setTimeout(() => {
        done()
        reject(new Error(`no ${what} from ${to} within ${TIMEOUT_MS} ms`))
      }, TIMEOUT_MS)
      watchers.add(watcher)
      watcher()
    })

  const stream: XmppStream = {
    id: () => id ?? '',
    send(stanza) {
      socket.write(stanza.toString())
    },
    next: (matches) =>
      until('matching stanza', () => {
        const at = received.findIndex(matches)
        return at === -1 ? undefined : received.splice(at, 1)[0]
      }),
    async restart() {
      id = undefined
      parser = new xml.Parser()
      parser.on('start', (element: Element) => {
        id = element.attrs.id ?? ''
        look()
      })
      parser.on('element', (element: Element) => {
        received.push(element)
        look()
      })
      parser.on('error', (error: Error) => socket.destroy(error))
      socket.write(
        `<?xml version='1.0'?><stream:stream to='${to}' version='1.0' xmlns='${xmlns}' ` +
          `xmlns:stream='http://etherx.jabber.org/streams'>`,
      )
      await until('stream header', () => id)
    },
    async iq(type, to, child, attrs = {}) {
      const id = randomUUID()
      stream.send(xml('iq', { type, to, id, ...attrs }, child))
      return await stream.next(
        (stanza) =>
          stanza.name === 'iq' &&
          stanza.attrs.id === id &&
          ['result', 'error'].includes(stanza.attrs.type ?? ''),
      )
    },
    async close() {
      if (socket.closed) return
      const closed = once(socket, 'close')
      // Prosody closes its side in answer; one that is frozen or gone does not.
      if (!socket.writableEnded) socket.end('</stream:stream>')
      const timer = setTimeout(() => socket.destroy(), 1000)
      await closed.catch(() => undefined)
      clearTimeout(timer)
    },
  }
  await stream.restart()
  return stream
}

/** The server did not accept the password, or the secret; the connection is closed. */
export class LoginError extends Error {
  override name = 'LoginError'
}

export type XmppUser = XmppStream & {
  /** The full JID that the server gave. */
  readonly jid: string
  /** Joins a room, which must admit it. */
  joinRoom(room: string, nick: string): Promise<Element>
}

/**
 * Logs in over c2s on 127.0.0.1, without TLS.
 *
 * @throws {LoginError}
 * @see RFC 6120 §6 (SASL), §7 (resource binding), RFC 4616 (PLAIN)
 */
export async function login(options: {
  readonly port: number
  readonly jid: string
  readonly password: string
}): Promise<XmppUser> {
  const [user = '', host = ''] = options.jid.split('@')
  const stream = await openStream(options.port, host, 'jabber:client')
  try {
    await stream.next((stanza) => stanza.name === 'stream:features')
    const plain = Buffer.from(`\0${user}\0${options.password}`).toString('base64')
    const sasl = 'urn:ietf:params:xml:ns:xmpp-sasl'
    stream.send(xml('auth', { xmlns: sasl, mechanism: 'PLAIN' }, plain))
    const answer = await stream.next(({ name }) => name === 'success' || name === 'failure')
    if (answer.name === 'failure') throw new LoginError(answer.toString())
    await stream.restart()
    await stream.next((stanza) => stanza.name === 'stream:features')
    const bind = xml('bind', { xmlns: 'urn:ietf:params:xml:ns:xmpp-bind' })
    const id = randomUUID()
    stream.send(xml('iq', { type: 'set', id }, bind))
    const bound = await stream.next((stanza) => stanza.attrs.id === id)
    const jid = bound.getChild('bind')?.getChildText('jid')
    if (jid === undefined || jid === null) throw new LoginError(bound.toString())
    return {
      ...stream,
      jid,
      async joinRoom(room, nick) {
        const muc = xml('x', { xmlns: 'http://jabber.org/protocol/muc' })
        stream.send(xml('presence', { to: `${room}/${nick}` }, muc))
        // XEP-0045 §7.2.2: our own presence comes last, with status 110.
        return await stream.next(
          (stanza) =>
            stanza.name === 'presence' &&
            stanza.attrs.from === `${room}/${nick}` &&
            stanza.toString().includes('code="110"'),
        )
      },
    }
  } catch (error) {
    await stream.close()
    throw error
  }
}

/**
 * Connects as an external component; its stanzas need a `from`.
 *
 * @throws {LoginError}
 * @see XEP-0114 §3
 */
export async function connectComponent(options: {
  readonly port: number
  readonly domain: string
  readonly secret: string
}): Promise<XmppStream> {
  const stream = await openStream(options.port, options.domain, 'jabber:component:accept')
  try {
    const digest = createHash('sha1').update(stream.id() + options.secret)
    stream.send(xml('handshake', {}, digest.digest('hex')))
    const answer = await stream.next(({ name }) => name === 'handshake' || name === 'stream:error')
    if (answer.name !== 'handshake') throw new LoginError(answer.toString())
    return {
      ...stream,
      iq: (type, to, child, attrs) =>
        stream.iq(type, to, child, { from: options.domain, ...attrs }),
    }
  } catch (error) {
    await stream.close()
    throw error
  }
}

/** The payload that runs an ad-hoc command. @see XEP-0050 §2.4.1 */
export function commandElement(node: string, ...children: readonly Element[]): Element {
  const attrs = { xmlns: 'http://jabber.org/protocol/commands', node, action: 'execute' }
  return xml('command', attrs, ...children)
}

/** The condition of an error reply, e.g. `forbidden`; undefined when it is a result. */
export function errorCondition(reply: Element): string | undefined {
  if (reply.attrs.type !== 'error') return undefined
  return reply.getChild('error')?.getChildElements()[0]?.name
}
