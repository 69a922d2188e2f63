/** A user's client and another component, each a few lines over a socket: outsiders for the tests. */

import xml, { type Element } from '@xmpp/xml'
import { createHash, createHmac, pbkdf2Sync, randomUUID } from 'node:crypto'
import { once } from 'node:events'
import { connect } from 'node:net'

export type XmppStream = {
  /** What the server called the stream. */
  id(): string
  /** Sends text or a stanza as it is. */
  send(stanza: Element | string): void
  /** The first stanza not yet taken that `matches`, waited for; rejects when the stream ends. */
  next(matches: (stanza: Element) => boolean): Promise<Element>
  /** Forgets what came and was not taken. */
  forget(): void
  /** Opens the stream anew on the same connection, after SASL. @see RFC 6120 §6.4.6 */
  restart(): Promise<void>
  /** Sends an iq and resolves its reply, a result or an error. */
  iq(type: 'get' | 'set', to: string, child: Element, attrs?: Attributes): Promise<Element>
  /** Ends the connection; resolves when it is closed. */
  close(): Promise<void>
  /** Reads nothing more until `resume`. */
  pause(): void
  resume(): void
  /** Loses the connection. */
  destroy(): void
}

type Attributes = Readonly<Record<string, string>>

const TIMEOUT_MS = 300_000

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
      const text = stanza.toString()
      // Prosody 0.12 reads 8 KB at a time. Since its fix for CVE-2023-52425 expat leaves a token that
      // came in two reads alone until twice as much is there, so something has to follow it.
      const padding = text.length > 4096 ? ' '.repeat(2 * text.length) : ''
      socket.write(text + padding)
    },
    next: (matches) =>
      until('matching stanza', () => {
        const at = received.findIndex(matches)
        return at === -1 ? undefined : received.splice(at, 1)[0]
      }),
    forget() {
      received.length = 0
    },
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
    pause() {
      socket.pause()
    },
    resume() {
      socket.resume()
    },
    destroy() {
      socket.destroy()
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

export type LoginOptions = {
  readonly port: number
  readonly jid: string
  readonly password: string
  /** SCRAM-SHA-1, ANONYMOUS, or anything else, which is sent as PLAIN is, the default. */
  readonly mechanism?: string
}

const SASL = 'urn:ietf:params:xml:ns:xmpp-sasl'

/**
 * Authenticates over c2s on 127.0.0.1, without TLS; there is no resource then, and no new stream.
 *
 * @throws {LoginError}
 * @see RFC 6120 §6 (SASL), RFC 4616 (PLAIN)
 */
export async function authenticate(options: LoginOptions): Promise<XmppStream> {
  const [user = '', host = ''] = options.jid.split('@')
  const { mechanism = 'PLAIN' } = options
  const stream = await openStream(options.port, host, 'jabber:client')
  const isAnswer = ({ name }: Element) => ['challenge', 'success', 'failure'].includes(name)
  try {
    await stream.next((stanza) => stanza.name === 'stream:features')
    let answer: Element
    if (mechanism === 'SCRAM-SHA-1') {
      const nonce = randomUUID()
      stream.send(xml('auth', { xmlns: SASL, mechanism }, base64(`n,,n=${user},r=${nonce}`)))
      answer = await stream.next(isAnswer)
      if (answer.name === 'challenge') {
        const challenge = Buffer.from(answer.text(), 'base64').toString()
        const final = scramFinal(`n=${user},r=${nonce}`, challenge, options.password)
        stream.send(xml('response', { xmlns: SASL }, base64(final)))
        answer = await stream.next(isAnswer)
      }
    } else {
      const secret = mechanism === 'ANONYMOUS' ? '' : `\0${user}\0${options.password}`
      stream.send(xml('auth', { xmlns: SASL, mechanism }, base64(secret)))
      answer = await stream.next(isAnswer)
    }
    if (answer.name !== 'success') throw new LoginError(answer.toString())
    return stream
  } catch (error) {
    await stream.close()
    throw error
  }
}

const base64 = (text: string) => Buffer.from(text).toString('base64')

/** The client's proof, for a server that need not prove anything. @see RFC 5802 §3 */
function scramFinal(clientFirst: string, serverFirst: string, password: string): string {
  const [, nonce = '', salt = '', rounds] = /^r=(.*),s=(.*),i=(\d+)$/.exec(serverFirst) ?? []
  const salted = pbkdf2Sync(password, Buffer.from(salt, 'base64'), Number(rounds), 20, 'sha1')
  const hmac = (key: Buffer, text: string) => createHmac('sha1', key).update(text).digest()
  const key = hmac(salted, 'Client Key')
  const final = `c=${base64('n,,')},r=${nonce}`
  const stored = createHash('sha1').update(key).digest()
  const signature = hmac(stored, `${clientFirst},${serverFirst},${final}`)
  const proof = key.map((byte, i) => byte ^ signature[i]!)
  return `${final},p=${Buffer.from(proof).toString('base64')}`
}

/**
 * Logs in over c2s on 127.0.0.1, without TLS.
 *
 * @throws {LoginError}
 * @see RFC 6120 §7 (resource binding)
 */
export async function login(options: LoginOptions): Promise<XmppUser> {
  const stream = await authenticate(options)
  try {
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

/** A phone: it is inactive, is told something important, loses its connection and comes back. */
export async function sleepAndReturn(account: { port: number; jid: string; password: string }) {
  const SM = 'urn:xmpp:sm:3'
  const phone = await login(account)
  phone.send(xml('presence'))
  phone.send(xml('enable', { xmlns: SM, resume: 'true' }))
  const { attrs } = await phone.next(({ name }) => name === 'enabled')
  phone.send(xml('inactive', { xmlns: 'urn:xmpp:csi:0' }))
  phone.send(xml('message', { to: phone.jid, type: 'chat' }, xml('body', {}, 'text')))
  await phone.next(({ name }) => name === 'message')
  phone.send(xml('a', { xmlns: SM, h: '1' }))
  phone.destroy()

  const back = await authenticate(account)
  await back.restart()
  back.send(xml('resume', { xmlns: SM, previd: attrs.id ?? '', h: '1' }))
  await back.next(({ name }) => name === 'resumed')
  await back.close()
}
