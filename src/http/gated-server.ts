import { createServer, type IncomingMessage, type Server } from 'node:http'
import type { ServerOptions, ServerResponse } from 'node:http'
import { createSecureServer } from 'node:http2'
import { createServer as createTlsServer } from 'node:https'
import type { TLSSocket, TlsOptions } from 'node:tls'
import type { Log } from '../log/log.js'

// A client has 5 s for the TLS handshake, and 5 s for the headers of a request.
const HANDSHAKE_MS = 5000
// Limits the streams of an HTTP/2 connection, because each stream can hold a response in memory. RFC 9113
// §6.5.2 recommends a limit of at least 100. By default Node.js has no limit.
const HTTP2 = { settings: { maxConcurrentStreams: 100 } }

/** Decides which connections and which requests are accepted, and sets the TLS options. */
export type Gate = {
  /** `undefined` for connections without TLS. `http2` says whether clients can use HTTP/2. */
  readonly tls: { readonly http2: boolean } | undefined
  /** Returns the TLS options for new connections. */
  getTlsOptions(): TlsOptions
  /**
   * Returns why the connection of a client must be closed; `undefined` to accept it. Called after the TLS
   * handshake.
   */
  findClientProblem(client: TLSSocket): string | undefined
  /** Returns the headers that are added to every response. */
  getHeaders(): readonly (readonly [name: string, value: string])[]
  /** Returns the response to a request that is denied; `undefined` to let the app respond. */
  checkRequest(request: IncomingMessage): MaybePromise<RequestDenial | undefined>
}
/** The response to a request that the gate denies. */
export type RequestDenial = {
  readonly status: number
  readonly text: string
  readonly headers: Readonly<Record<string, string>>
}
type MaybePromise<T> = T | Promise<T>

export type Respond = (incoming: IncomingMessage, outgoing: ServerResponse) => void

/** Creates an HTTP or HTTPS server that lets the gate check each client certificate and each request. */
export function createGatedServer(
  gate: Gate,
  options: ServerOptions,
  respond: Respond,
  log: Log,
): Server {
  const respondIfAllowed = createGatedRespond(gate, options, respond, log)
  if (!gate.tls) return createServer(options, respondIfAllowed)
  const tlsOptions = {
    ...options,
    ...gate.getTlsOptions(),
    handshakeTimeout: HANDSHAKE_MS,
  }
  // Node.js gives an HTTP/2 request the interface of an HTTP/1.1 request, so one handler serves both.
  const server = gate.tls.http2
    ? (createSecureServer(
        { ...tlsOptions, ...HTTP2, allowHTTP1: true },
        respondIfAllowed as never,
      ) as unknown as Server)
    : createTlsServer(tlsOptions, respondIfAllowed)
  // COMPAT Node.js 22 and earlier: createSecureServer() with allowHTTP1 does not apply the options to HTTP/1.1
  // connections, so they are set on the server.
  Object.assign(server, options)
  checkClients(server as ReturnType<typeof createTlsServer>, gate, log)
  return server
}

function createGatedRespond(
  gate: Gate,
  options: ServerOptions,
  respond: Respond,
  log: Log,
): Respond {
  return (incoming, outgoing) => {
    for (const [name, value] of gate.getHeaders()) outgoing.setHeader(name, value)
    const denial =
      countHeaderBytes(incoming) > (options.maxHeaderSize ?? Infinity)
        ? {
            status: 431,
            text: `Request header fields too large: the limit is ${options.maxHeaderSize} bytes.`,
            headers: {},
          }
        : gate.checkRequest(incoming)
    // Most checks return a result without a promise, and waiting for a promise would slow down these requests.
    if (!(denial instanceof Promise)) {
      respondOrDeny(denial, incoming, outgoing, respond)
      return
    }
    denial.then(
      (awaited) => {
        respondOrDeny(awaited, incoming, outgoing, respond)
      },
      (error: unknown) => {
        log.error('access check of a request failed', { error: String(error) })
        const failure = {
          status: 500,
          text: 'Internal error: the access check failed. See the log of the exporter.',
          headers: {},
        }
        respondOrDeny(failure, incoming, outgoing, respond)
      },
    )
  }
}

/**
 * Applies the current TLS options to each new connection, and closes connections that the gate does not accept.
 */
function checkClients(tls: ReturnType<typeof createTlsServer>, gate: Gate, log: Log): void {
  let current = gate.getTlsOptions()
  // This listener must run before the server's own listener, which starts the TLS handshake.
  tls.prependListener('connection', () => {
    const options = gate.getTlsOptions()
    if (options !== current) tls.setSecureContext(options)
    current = options
  })
  tls.on('secureConnection', (socket) => {
    const problem = gate.findClientProblem(socket)
    if (problem === undefined) return
    log.debug('closed the connection of a client', { reason: problem })
    socket.destroy()
  })
  tls.on('tlsClientError', (error) => {
    log.debug('TLS handshake with a client failed', { reason: error.message })
  })
}

/**
 * Returns the size of the headers of an HTTP/2 request. Returns 0 for HTTP/1.1, where node:http applies the
 * size limit. The HTTP/2 setting SETTINGS_MAX_HEADER_LIST_SIZE does not suffice, because it applies only after
 * the client has acknowledged it.
 */
function countHeaderBytes({ httpVersionMajor, rawHeaders }: IncomingMessage): number {
  if (httpVersionMajor < 2) return 0
  return rawHeaders.reduce((sum, text) => sum + text.length, 0)
}

function respondOrDeny(
  denial: RequestDenial | undefined,
  incoming: IncomingMessage,
  outgoing: ServerResponse,
  respond: Respond,
): void {
  if (!denial) {
    respond(incoming, outgoing)
    return
  }
  // Reads and discards the body of the request.
  incoming.resume()
  const body = Buffer.from(`${denial.text}\n`)
  outgoing.writeHead(denial.status, {
    'Content-Type': 'text/plain; charset=utf-8',
    'Content-Length': String(body.length),
    'Cache-Control': 'no-store',
    ...denial.headers,
  })
  outgoing.end(incoming.method === 'HEAD' ? undefined : body)
}
