/** Servers that are not XMPP servers, or are broken ones. `listener-process.ts` runs them. */

import { createSocket } from 'node:dgram'
import { once } from 'node:events'
import { createServer as createHttpServer } from 'node:http'
import { createServer as createHttpsServer } from 'node:https'
import { connect, createServer, type Server, type Socket } from 'node:net'
import { connect as connectTls, createServer as createTlsServer, TLSSocket } from 'node:tls'
import type { KeyPair } from '../certificate.js'

/** What a scripted server does after it has received a text that matches the expression `after`. */
export type ScriptStep = {
  readonly after: string
  readonly send?: string
  readonly then?: 'close' | 'reset' | 'tls'
}

export type Page = { readonly status: number; readonly body: string }

export type Listener =
  | { readonly kind: 'http' }
  /** By default, each path has the same page. With `pages`, there are no others. */
  | {
      readonly kind: 'https'
      readonly certificate: KeyPair
      readonly pages?: Readonly<Record<string, Page>>
    }
  /** Sends a greeting, and closes the connection after the first line, as OpenSSH and mail servers do. */
  | { readonly kind: 'greeting'; readonly text: string; readonly reply: string }
  /** Accepts connections, and sends nothing. */
  | { readonly kind: 'silent' }
  /** Closes or resets each connection. */
  | { readonly kind: 'close' }
  | { readonly kind: 'reset' }
  /** Sends its stream header in small pieces, and never completes it. */
  | { readonly kind: 'drip' }
  | {
      readonly kind: 'script'
      readonly steps: readonly ScriptStep[]
      /** The certificate for `then: 'tls'`, and for a server with TLS from the start. */
      readonly certificate?: KeyPair
      readonly direct?: boolean
    }
  /** Forwards connections to another server, and removes STARTTLS from its features. */
  | { readonly kind: 'strip-starttls'; readonly to: string; readonly port: number }
  /** Ends TLS with its own certificate, and forwards what is inside to another port with TLS from the start. */
  | {
      readonly kind: 'tls-proxy'
      readonly certificate: KeyPair
      readonly to: string
      readonly port: number
    }

/** Forwards each DNS query to another server, and the answers only after a delay. */
export type SlowDns = {
  readonly kind: 'slow-dns'
  readonly to: string
  readonly delayMs: number
}

export async function startSlowDns(
  address: string,
  port: number,
  { to, delayMs }: SlowDns,
): Promise<void> {
  const server = createSocket('udp4')
  server.on('message', (query, { address: client, port: clientPort }) => {
    const forwarded = createSocket('udp4')
    forwarded.once('message', (answer) => {
      forwarded.close()
      setTimeout(() => {
        server.send(answer, clientPort, client)
      }, delayMs)
    })
    forwarded.send(query, port, to)
  })
  server.bind(port, address)
  await once(server, 'listening')
}

const WELCOME: Page = { status: 200, body: '<html><body>It works!</body></html>' }

/** Returns a server that does not listen yet. */
export function createListener(listener: Listener): Server {
  switch (listener.kind) {
    case 'http':
      return createHttpServer((_, response) => response.end(WELCOME.body))
    case 'https':
      return createHttpsServer(listener.certificate, ({ url = '' }, response) => {
        const { pages } = listener
        const page = pages ? pages[url] : WELCOME
        response.writeHead(page?.status ?? 404).end(page?.body)
      })
    case 'greeting':
      return serve((socket) => {
        socket.write(listener.text)
        socket.once('data', () => socket.end(listener.reply))
      })
    case 'silent':
      return serve((socket) => socket.resume())
    case 'close':
      return serve((socket) => socket.end())
    case 'reset':
      return serve((socket) => socket.resetAndDestroy())
    case 'drip':
      return serve(drip)
    case 'script':
      return listener.direct === true
        ? createTlsServer({ ...listener.certificate }, (socket) => {
            socket.on('error', () => undefined)
            followScript(socket, listener.steps, listener.certificate)
          })
        : serve((socket) => {
            followScript(socket, listener.steps, listener.certificate)
          })
    case 'strip-starttls':
      return serve((socket) => {
        stripStarttls(socket, connect(listener.port, listener.to))
      })
    case 'tls-proxy':
      return createTlsServer(
        { ...listener.certificate, ALPNProtocols: ['xmpp-client'] },
        (socket) => {
          forwardInTls(socket, listener)
        },
      )
  }
}

const serve = (handle: (socket: Socket) => void): Server =>
  createServer((socket) => {
    socket.on('error', () => undefined)
    handle(socket)
  })

function drip(socket: Socket): void {
  socket.resume()
  const text = "<?xml version='1.0'?><stream:stream xmlns='jabber:client'"
  let sent = 0
  const timer = setInterval(() => {
    socket.write(text[sent] ?? ' ')
    sent += 1
  }, 100)
  socket.on('close', () => {
    clearInterval(timer)
  })
}

function followScript(socket: Socket, steps: readonly ScriptStep[], certificate?: KeyPair): void {
  let input = ''
  let next = 0
  socket.setEncoding('utf8')
  const onData = (text: string) => {
    input += text
    const step = steps[next]
    if (step === undefined || !new RegExp(step.after).test(input)) return
    next += 1
    input = ''
    if (step.send !== undefined) socket.write(step.send)
    if (step.then === 'close') socket.end()
    if (step.then === 'reset') socket.resetAndDestroy()
    if (step.then !== 'tls') return
    socket.off('data', onData)
    const encrypted = new TLSSocket(socket, { isServer: true, ...certificate })
    encrypted.on('error', () => undefined)
    followScript(encrypted, steps.slice(next))
  }
  socket.on('data', onData)
}

function forwardInTls(client: TLSSocket, { to, port }: { to: string; port: number }): void {
  const name = { servername: client.servername || undefined, ALPNProtocols: ['xmpp-client'] }
  const server = connectTls({ ...name, host: to, port, rejectUnauthorized: false })
  client.pipe(server).pipe(client)
  client.on('error', () => server.destroy())
  server.on('error', () => client.destroy())
}

function stripStarttls(client: Socket, server: Socket): void {
  client.pipe(server)
  server.on('error', () => client.destroy())
  client.on('close', () => server.destroy())
  server.on('close', () => client.end())
  server.on('data', (bytes: Buffer) => {
    client.write(bytes.toString('latin1').replace(/<starttls.*?<\/starttls>/s, ''), 'latin1')
  })
}
