/** Small XMPP clients for tests: a client of a user, and an external component. */

import xml, { type Element } from '@xmpp/xml'
import { createHash, createHmac, pbkdf2Sync, randomUUID } from 'node:crypto'
import { once } from 'node:events'
import { connect, type Socket } from 'node:net'

export type XmppStream = {
  /** The id in the stream header that the server sent. */
  id(): string
  /** Sends text or a stanza unchanged. Adds blanks after a long one. */
  send(stanza: Element | string): void
  /**
   * Waits for a stanza for which `matches` returns true, and removes it from the received stanzas. Rejects if the
   * stream ends.
   */
  next(matches: (stanza: Element) => boolean): Promise<Element>
  /** Removes and returns a received stanza for which `matches` returns true, if one has arrived. */
  taken(matches: (stanza: Element) => boolean): Element | undefined
  /** Discards the received stanzas that `next` has not returned. */
  forget(): void
  /** Opens a new stream on the same connection, as a client must do after SASL. @see RFC 6120 §6.4.6 */
  restart(): Promise<void>
  /** Sends an iq stanza. Resolves with its reply, which can be a result or an error. */
  iq(type: 'get' | 'set', to: string, child: Element, attrs?: Attributes): Promise<Element>
  /** Ends the stream and the connection. Resolves when the connection is closed. */
  close(): Promise<void>
  /** Stops reading from the connection until `resume` is called. */
  pause(): void
  resume(): void
  /** Closes the connection without ending the stream. */
  destroy(): void
}

type Attributes = Readonly<Record<string, string>>

const TIMEOUT_MS = 300_000

/** Connects to 127.0.0.1, and opens a stream. The namespace is `jabber:client`, for example. */
export async function openStream(port: number, to: string, xmlns: string): Promise<XmppStream> {
  const socket = connect(port, '127.0.0.1')
  await once(socket, 'connect')
  socket.setNoDelay(true).setEncoding('utf8')
  const input = new StreamInput(socket, to)

  const stream: XmppStream = {
    id: () => input.id ?? '',
    send(stanza) {
      const text = stanza.toString()
      // The padding is necessary because Prosody 0.12 reads 8 KB at a time. Since the fix for CVE-2023-52425, expat
      // parses a token that arrived in two reads only when twice as many bytes have arrived.
      const padding = text.length > 4096 ? ' '.repeat(2 * text.length) : ''
      socket.write(text + padding)
    },
    next: (matches) => input.waitFor('matching stanza', () => input.take(matches)),
    taken: (matches) => input.take(matches),
    forget() {
      input.received.length = 0
    },
    async restart() {
      input.restart()
      socket.write(
        `<?xml version='1.0'?><stream:stream to='${to}' version='1.0' xmlns='${xmlns}' ` +
          `xmlns:stream='http://etherx.jabber.org/streams'>`,
      )
      await input.waitFor('stream header', () => input.id)
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
    close: () => closeStream(socket),
  }
  await stream.restart()
  return stream
}

async function closeStream(socket: Socket): Promise<void> {
  if (socket.closed) return
  const closed = once(socket, 'close')
  // Prosody closes its side of the connection when it reads the end of the stream. If it does not within one second,
  // for example because a test stopped the process, the client closes the connection.
  if (!socket.writableEnded) socket.end('</stream:stream>')
  const timer = setTimeout(() => socket.destroy(), 1000)
  await closed.catch(() => undefined)
  clearTimeout(timer)
}

/** Parses what the server sends on a stream. */
class StreamInput {
  /** The id in the server's stream header. It is undefined until the header arrives. */
  id: string | undefined
  /** The received stanzas that no call of `take` has returned yet. */
  readonly received: Element[] = []
  private readonly socket: Socket
  private readonly to: string
  private readonly watchers = new Set<() => void>()
  private parser = new xml.Parser()
  private ended: Error | undefined

  constructor(socket: Socket, to: string) {
    this.socket = socket
    this.to = to
    socket.on('data', (text) => {
      this.parser.write(String(text))
    })
    socket.on('error', (error) => {
      this.ended = error
    })
    socket.on('close', () => {
      this.ended ??= new Error(`the server closed the stream to ${to}`)
      this.notify()
    })
  }

  /** Prepares for a new stream: the next element from the server is a stream header. */
  restart(): void {
    this.id = undefined
    this.parser = new xml.Parser()
    this.parser.on('start', (element: Element) => {
      this.id = element.attrs.id ?? ''
      this.notify()
    })
    this.parser.on('element', (element: Element) => {
      this.received.push(element)
      this.notify()
    })
    this.parser.on('error', (error: Error) => this.socket.destroy(error))
  }

  take(matches: (stanza: Element) => boolean): Element | undefined {
    const at = this.received.findIndex(matches)
    return at === -1 ? undefined : this.received.splice(at, 1)[0]
  }

  /**
   * Calls `check` whenever data arrives, and resolves with its first result that is not undefined. Rejects if the
   * stream ends.
   */
  waitFor<T>(what: string, check: () => T | undefined): Promise<T> {
    return new Promise((resolve, reject) => {
      const stopWatching = () => {
        clearTimeout(timer)
        this.watchers.delete(watcher)
      }
      const watcher = () => {
        const result = check()
        if (result !== undefined) {
          stopWatching()
          resolve(result)
        } else if (this.ended) {
          stopWatching()
          reject(this.ended)
        }
      }
      const timer = setTimeout(() => {
        stopWatching()
        reject(new Error(`no ${what} arrived from ${this.to} within ${TIMEOUT_MS} ms`))
      }, TIMEOUT_MS)
      this.watchers.add(watcher)
      watcher()
    })
  }

  private notify(): void {
    for (const watcher of this.watchers) watcher()
  }
}

/** The error of a failed login: the server rejected the password or the secret, and the connection is closed. */
export class LoginError extends Error {
  override name = 'LoginError'
}

export type XmppUser = XmppStream & {
  /** The full JID that the server assigned to the client. */
  readonly jid: string
  /** Joins a MUC room. Resolves with the presence that confirms the join. */
  joinRoom(room: string, nick: string): Promise<Element>
}

export type LoginOptions = {
  readonly port: number
  readonly jid: string
  readonly password: string
  /**
   * The SASL mechanism: SCRAM-SHA-1, ANONYMOUS or PLAIN. PLAIN is the default. For any other mechanism, the client
   * sends the message of PLAIN.
   */
  readonly mechanism?: string
}

const SASL = 'urn:ietf:params:xml:ns:xmpp-sasl'

/**
 * Authenticates a client over c2s on 127.0.0.1, without TLS. Does not restart the stream and does not bind a
 * resource.
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

/**
 * Returns the final message of the client for SCRAM. The client does not check the server's signature.
 *
 * @see RFC 5802 §3
 */
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
 * Logs a client in over c2s on 127.0.0.1, without TLS, and binds a resource.
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
        // A room sends the client's own presence last, with status code 110 (XEP-0045 §7.2.2).
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
 * Registers an account in-band, on a connection of its own. With `token`, the registration uses an invite. Returns the
 * reply, which can be an error.
 *
 * @see XEP-0077 §3.1.1, XEP-0445 §3 (invites)
 */
export async function registerAccount(options: {
  readonly port: number
  readonly jid: string
  readonly password: string
  readonly token?: string
}): Promise<Element> {
  const [username = '', host = ''] = options.jid.split('@')
  const stream = await openStream(options.port, host, 'jabber:client')
  try {
    await stream.next((stanza) => stanza.name === 'stream:features')
    if (options.token !== undefined) {
      const attrs = { xmlns: 'urn:xmpp:pars:0', token: options.token }
      await stream.iq('set', host, xml('preauth', attrs))
    }
    return await stream.iq('set', host, registerElement(username, options.password))
  } finally {
    await stream.close()
  }
}

/** Returns the element with which a client registers an account or changes its password. @see XEP-0077 §3 */
export function registerElement(username: string, password: string): Element {
  const fields = [xml('username', {}, username), xml('password', {}, password)]
  return xml('query', { xmlns: 'jabber:iq:register' }, ...fields)
}

/**
 * Connects as an external component. A component's stanzas need the attribute `from`, which only `iq` adds by itself.
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

/** Returns the element that executes an ad-hoc command. @see XEP-0050 §2.4.1 */
export function commandElement(node: string, ...children: readonly Element[]): Element {
  const attrs = { xmlns: 'http://jabber.org/protocol/commands', node, action: 'execute' }
  return xml('command', attrs, ...children)
}

/**
 * Executes an ad-hoc command with a form: requests the form, and submits it with the given values. Returns the reply.
 *
 * @see XEP-0050 §2.4.2
 */
export async function submitCommand(
  user: XmppStream,
  to: string,
  node: string,
  values: Readonly<Record<string, string>>,
): Promise<Element> {
  const form = await user.iq('set', to, commandElement(node))
  const sessionid = form.getChild('command')?.attrs.sessionid ?? ''
  const fields = Object.entries(values).map(([name, value]) =>
    xml('field', { var: name }, xml('value', {}, value)),
  )
  const attrs = {
    xmlns: 'http://jabber.org/protocol/commands',
    node,
    sessionid,
    action: 'complete',
  }
  const submit = xml('x', { xmlns: 'jabber:x:data', type: 'submit' }, ...fields)
  return await user.iq('set', to, xml('command', attrs, submit))
}

/** Returns the condition of an error reply, for example `forbidden`. Returns undefined if the reply is a result. */
export function errorCondition(reply: Element): string | undefined {
  if (reply.attrs.type !== 'error') return undefined
  return reply.getChild('error')?.getChildElements()[0]?.name
}

/**
 * Acts like the client on a phone: becomes inactive (XEP-0352), gets a message, loses its connection and resumes its
 * session (XEP-0198).
 */
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
