import { createServer, type IncomingMessage, type Server } from 'node:http'
import type { ServerOptions, ServerResponse } from 'node:http'
import { createSecureServer } from 'node:http2'
import { createServer as createTlsServer } from 'node:https'
import type { TLSSocket, TlsOptions } from 'node:tls'
import type { Log } from '../log/log.js'

// As long as for a request's headers.
const HANDSHAKE_MS = 5000
// Each stream can hold a response. RFC 9113 §6.5.2 recommends no fewer; Node's default has no limit.
const HTTP2 = { settings: { maxConcurrentStreams: 100 } }

/** Who may connect and what is answered before the app is asked. */
export type Gate = {
  /** Connections are encrypted; HTTP/2 too, where the client wants it. */
  readonly tls: { readonly http2: boolean } | undefined
  /** Of a connection that begins now. */
  tlsOptions(): TlsOptions
  /** Why a client is not let in, when its connection is made, if it isn't. */
  clientProblem(client: TLSSocket): string | undefined
  headers(): readonly (readonly [name: string, value: string])[]
  refusal(request: IncomingMessage): MaybePromise<Refusal | undefined>
}
export type Refusal = {
  readonly status: number
  readonly text: string
  readonly headers: Readonly<Record<string, string>>
}
type MaybePromise<T> = T | Promise<T>

export type Respond = (incoming: IncomingMessage, outgoing: ServerResponse) => void

/** A server that lets in whom the gate lets in, encrypted if it says so. */
export function gatedServer(
  gate: Gate,
  options: ServerOptions,
  respond: Respond,
  log: Log,
): Server {
  const enter: Respond = (incoming, outgoing) => {
    for (const [name, value] of gate.headers()) outgoing.setHeader(name, value)
    const refusal =
      headerBytes(incoming) > (options.maxHeaderSize ?? Infinity)
        ? { status: 431, text: 'Request header fields too large.', headers: {} }
        : gate.refusal(incoming)
    // As ever without a promise where there is nothing to wait for.
    if (!(refusal instanceof Promise)) refuseOr(refusal, incoming, outgoing, respond)
    else {
      refusal.then(
        (late) => {
          refuseOr(late, incoming, outgoing, respond)
        },
        (error: unknown) => {
          log.error('a request could not be checked', { error: String(error) })
          refuseOr(
            { status: 500, text: 'Internal error.', headers: {} },
            incoming,
            outgoing,
            respond,
          )
        },
      )
    }
  }
  if (!gate.tls) return createServer(options, enter)
  const all = {
    ...options,
    ...gate.tlsOptions(),
    handshakeTimeout: HANDSHAKE_MS,
  }
  // What HTTP/2 makes of a request is used as one of HTTP/1.1, and so is the server.
  const server = gate.tls.http2
    ? (createSecureServer(
        { ...all, ...HTTP2, allowHTTP1: true },
        enter as never,
      ) as unknown as Server)
    : createTlsServer(all, enter)
  // COMPAT Node.js 22 and earlier: with allowHTTP1 these options have no effect on HTTP/1.1.
  Object.assign(server, options)
  const tls = server as ReturnType<typeof createTlsServer>
  // Before the server's own listener, so that the connection has what is true now.
  let current = gate.tlsOptions()
  tls.prependListener('connection', () => {
    const options = gate.tlsOptions()
    if (options !== current) tls.setSecureContext(options)
    current = options
  })
  tls.on('secureConnection', (socket) => {
    const problem = gate.clientProblem(socket)
    if (problem === undefined) return
    log.debug('a client was not let in', { reason: problem })
    socket.destroy()
  })
  tls.on('tlsClientError', (error) => {
    log.debug('no TLS with a client', { reason: error.message })
  })
  return server
}

/**
 * The size of a request's headers, for HTTP/2: node:http limits those of HTTP/1.1 itself. The setting
 * SETTINGS_MAX_HEADER_LIST_SIZE holds only after the client has acknowledged it.
 */
function headerBytes({ httpVersionMajor, rawHeaders }: IncomingMessage): number {
  if (httpVersionMajor < 2) return 0
  return rawHeaders.reduce((sum, text) => sum + text.length, 0)
}

function refuseOr(
  refusal: Refusal | undefined,
  incoming: IncomingMessage,
  outgoing: ServerResponse,
  respond: Respond,
): void {
  if (!refusal) {
    respond(incoming, outgoing)
    return
  }
  // What it may send on is not read.
  incoming.resume()
  const body = Buffer.from(`${refusal.text}\n`)
  outgoing.writeHead(refusal.status, {
    'Content-Type': 'text/plain; charset=utf-8',
    'Content-Length': String(body.length),
    'Cache-Control': 'no-store',
    ...refusal.headers,
  })
  outgoing.end(incoming.method === 'HEAD' ? undefined : body)
}
