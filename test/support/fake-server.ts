// A fake XMPP server for external components (XEP-0114), which a test can also make behave incorrectly.

import xml, { type Element } from '@xmpp/xml'
import { createHash } from 'node:crypto'
import { once } from 'node:events'
import { createServer, type AddressInfo, type Socket } from 'node:net'
import type { TestContext } from 'node:test'
import { createQueue } from './queue.js'

export type FakeLink = {
  readonly socket: Socket
  /** Resolves with the stream header that the component sends. */
  readonly header: Promise<Element>
  /**
   * Waits for the next element that the component sends after its stream header. The handshake is such an element
   * too.
   */
  next(): Promise<Element>
  /** Everything that the component has sent so far. */
  received(): string
  send(data: string | Buffer): void
  /** Sends the stream header of the server. The component hashes `id` together with its secret in the handshake. */
  open(id?: string): void
  /**
   * Accepts the component: waits for its stream header, sends the header of the server, and answers the handshake.
   */
  accept(): Promise<void>
  /** Sends a stream error, and closes the connection, as Prosody does. */
  refuse(condition: string, text?: string): void
  readonly closed: Promise<void>
}

export type FakeServer = {
  readonly port: number
  /** The URL of this server for the exporter's setting `xmpp.service`. */
  readonly service: string
  /** Waits for the next connection of a component. */
  link(): Promise<FakeLink>
  /** Stops listening, and closes every connection. */
  close(): Promise<void>
}

const NS_STREAMS = 'urn:ietf:params:xml:ns:xmpp-streams'

type Answer = (element: Element) => string | undefined | Promise<string | undefined>

/**
 * Starts the fake server on a free port of 127.0.0.1. The server stops after the test.
 *
 * @param options.secret The secret that the component must have, by default `secret`.
 * @param options.answer With this function, the server accepts each connection with the right secret, passes each
 *   received element to the function, and sends the text that it returns. Without it, the test itself answers on each
 *   connection.
 */
export async function startFakeServer(
  t: Pick<TestContext, 'after'>,
  options: {
    secret?: string
    port?: number
    answer?: Answer
    onSocket?: (socket: Socket) => void
  } = {},
): Promise<FakeServer> {
  const { secret = 'secret', answer } = options
  const links = createQueue<FakeLink>()
  const sockets = new Set<Socket>()

  const server = createServer((socket) => {
    sockets.add(socket)
    socket.on('close', () => sockets.delete(socket))
    const link = createLink(socket, secret, answer ? Infinity : undefined)
    links.push(link)
    options.onSocket?.(socket)
    if (answer) void serve(link, answer)
  })
  server.listen(options.port ?? 0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo

  async function close(): Promise<void> {
    for (const socket of sockets) socket.destroy()
    if (!server.listening) return
    server.close()
    await once(server, 'close')
  }
  t.after(close)
  return { port, service: `xmpp://127.0.0.1:${port}`, link: () => links.next(), close }
}

async function serve(link: FakeLink, answer: Answer) {
  await link.accept()
  for (;;) {
    const text = await answer(await link.next())
    if (text !== undefined) link.send(text)
  }
}

function createLink(socket: Socket, secret: string, waitMs?: number): FakeLink {
  const elements = createQueue<Element>(waitMs)
  const parser = new xml.Parser()
  const header = new Promise<Element>((resolve) => parser.once('start', resolve))
  let received = ''
  let openId = ''

  parser.on('element', elements.push)
  parser.on('error', () => {})
  parser.on('end', () => socket.end('</stream:stream>'))
  socket.setEncoding('utf8')
  socket.on('data', (text: Buffer | string) => {
    received += text.toString()
    parser.write(text.toString())
  })
  socket.on('error', () => {})
  const closed = new Promise<void>((resolve) => {
    socket.once('close', () => {
      resolve()
    })
  })

  const link: FakeLink = {
    socket,
    header,
    closed,
    received: () => received,
    next: () => elements.next(),
    send(data) {
      socket.write(data)
    },
    open(id = 'an-id') {
      openId = id
      link.send(
        `<?xml version='1.0'?><stream:stream xmlns='jabber:component:accept' ` +
          `xmlns:stream='http://etherx.jabber.org/streams' id='${id}'>`,
      )
    },
    async accept() {
      await header
      link.open()
      const handshake = await elements.next()
      const digest = createHash('sha1').update(`${openId}${secret}`, 'utf8').digest('hex')
      if (handshake.name === 'handshake' && handshake.text() === digest) link.send('<handshake/>')
      else link.refuse('not-authorized', 'Given token does not match calculated token')
    },
    refuse(condition, text) {
      if (openId === '') link.open('')
      const words = text === undefined ? '' : `<text xmlns='${NS_STREAMS}'>${text}</text>`
      socket.end(
        `<stream:error><${condition} xmlns='${NS_STREAMS}'/>${words}</stream:error></stream:stream>`,
      )
    },
  }
  return link
}
