import { getRequestListener } from '@hono/node-server'
import { unlink } from 'node:fs/promises'
import { createServer, type Server, type ServerOptions, type ServerResponse } from 'node:http'
import type { ListenOptions } from 'node:net'
import type { Log } from '../log/log.js'
import { createPendingBodies, type PendingBodies } from './bodies.js'
import { trackConnections } from './connections.js'
import { createGatedServer, type Gate, type Respond } from './gated-server.js'
import { formatAddress, type ListenAddress } from '../config/listen-address.js'
import { normalizeRequest } from './normalize-request.js'
import {
  bindPrivately,
  getErrorCode,
  isStaleSocket,
  setSocketAccess,
  type SocketAccessOptions,
} from './unix-socket.js'

export type ServerTimeouts = Pick<
  ServerOptions,
  'headersTimeout' | 'requestTimeout' | 'keepAliveTimeout' | 'connectionsCheckingInterval'
>

const TIMEOUTS: ServerTimeouts = {
  headersTimeout: 5000,
  requestTimeout: 30_000,
  // An idle connection stays open for 75 s, which is longer than the usual scrape interval of 15 or 60 s. With
  // the 5 s of Node.js, each scrape would need a new connection, or fail because it uses a connection that is
  // being closed.
  keepAliveTimeout: 75_000,
  connectionsCheckingInterval: 1000,
}
const MAX_HEADER_BYTES = 8192
const MAX_CONNECTIONS = 1024
// A connection without any data for 11 min is closed, because a client that does not read its response keeps
// the snapshot in memory. A scrape takes at most 10 min.
const SILENCE_MS = 660_000

export type ListenerOptions = {
  /**
   * Sets TLS and decides which requests are accepted. By default, the server accepts all requests over plain
   * HTTP.
   */
  readonly gate?: Gate | undefined
  /**
   * The maximum number of connections of each address. A connection above it closes an idle one. Default: 1024.
   */
  readonly maxConnections?: number
  /**
   * Timeouts in milliseconds, see node:http. By default, 5 s for the headers, 30 s for a request, and 75 s of
   * idle time.
   */
  readonly timeouts?: ServerTimeouts
  /** The mode and group of Unix sockets. By default, the umask and the group of the process determine them. */
  readonly socketAccess?: SocketAccessOptions
}

export type Listener = {
  /** The URL of each address. For an address with port 0, the URL has the port that the system chose. */
  readonly urls: readonly string[]
  /**
   * Stops accepting connections, lets requests finish for at most `graceMs`, and then closes all connections.
   */
  readonly close: (graceMs: number) => Promise<void>
}

/**
 * Serves the app on every address. Skips an optional address that this machine does not have. Replaces a socket
 * file on which no process listens.
 *
 * @throws Error with one line that says why the server cannot listen on an address, or on any. All other addresses
 *   are closed before.
 */
export async function listen(
  app: { fetch(request: Request, env?: object): Response | Promise<Response> },
  addresses: readonly ListenAddress[],
  log: Log,
  options: ListenerOptions = {},
): Promise<Listener> {
  const open: { url: string; close: Listener['close'] }[] = []
  const bodies = createPendingBodies()
  const close = async (graceMs: number) => {
    await Promise.all(open.map((each) => each.close(graceMs)))
    bodies.close()
  }
  try {
    for (const address of addresses) {
      const server = await listenOn(app, address, log, options, bodies)
      if (server !== undefined) open.push(server)
    }
    if (open.length === 0)
      throw new Error(
        'this machine has none of the addresses to listen on; set --web.listen-address',
      )
  } catch (error) {
    await close(0)
    throw error
  }
  for (const { url } of open) log.info('listening', { address: url })
  return { urls: open.map(({ url }) => url), close }
}

/**
 * Returns the connection limit for each listen address, so that a process with at most `maxFds` open files
 * keeps working.
 */
export function chooseConnectionLimit(maxFds = Infinity): number {
  // The connections of the two default addresses use at most half of the open files. The other half is for XMPP
  // connections and files.
  return Math.min(Math.max(Math.floor(maxFds / 4), 1), MAX_CONNECTIONS)
}

async function listenOn(
  app: Parameters<typeof listen>[0],
  address: ListenAddress,
  log: Log,
  { gate, timeouts, maxConnections = MAX_CONNECTIONS, socketAccess }: ListenerOptions,
  bodies: PendingBodies,
): Promise<{ url: string; close: Listener['close'] } | undefined> {
  const handleRequest = getRequestListener((request, env) => app.fetch(request, env), {
    hostname: 'localhost',
  })
  const respond: Respond = (incoming, outgoing) => {
    normalizeRequest(incoming)
    const { url, method } = incoming
    if (url === '*' && method === 'OPTIONS') respondToServerOptions(outgoing)
    else void handleRequest(incoming, outgoing)
  }
  const options = { ...TIMEOUTS, ...timeouts, maxHeaderSize: MAX_HEADER_BYTES, ...bodies.classes }
  const server = gate
    ? createGatedServer(gate, options, respond, log)
    : createServer(options, respond)
  // A client can close its sending side after the request. By default Node.js then ends the connection, and the
  // remaining chunks of a long body are lost.
  Object.assign(server, { httpAllowHalfOpen: true })
  server.setTimeout(SILENCE_MS)
  const close = trackConnections(server, maxConnections, bodies)
  try {
    await bind(server, address, socketAccess)
  } catch (error) {
    const code = getErrorCode(error)
    const isMissing = code === 'EADDRNOTAVAIL' || code === 'EAFNOSUPPORT'
    if (isMissing && 'port' in address && address.optional) {
      log.info('skipped a default address that this machine does not have', {
        address: formatAddress(address),
      })
      return undefined
    }
    const reason = REASONS[code] ?? code
    throw new Error(
      `cannot listen on ${formatAddress(address)}: ${reason}; check --web.listen-address`,
      { cause: error },
    )
  }
  if ('path' in address && socketAccess) {
    try {
      setSocketAccess(address.path, socketAccess)
    } catch (error) {
      await close(0)
      throw error
    }
  }
  server.on('error', (error) => {
    log.warn('accepting a connection failed', { error: error.message })
  })
  return { url: formatUrl(server, gate?.tls ? 'https' : 'http'), close }
}

const REASONS: Readonly<Record<string, string>> = {
  EADDRINUSE: 'the address is in use',
  EADDRNOTAVAIL: 'this machine does not have that address',
  EAFNOSUPPORT: 'this machine does not support that address family',
  EACCES: 'permission denied',
  ENOENT: 'the directory does not exist, or the host name is unknown',
  ENOTFOUND: 'the host name is unknown',
}

/**
 * Makes the server listen on the address. Replaces a socket file on which no process listens.
 *
 * @throws Error with the code EADDRINUSE if a process listens on the socket file.
 */
export async function bind(
  server: Server,
  address: ListenAddress,
  access?: SocketAccessOptions,
): Promise<void> {
  if ('fd' in address) {
    // Node.js accepts the option `fd`, but the type ListenOptions lacks it.
    await startListening(server, address as ListenOptions)
    return
  }
  if (!('path' in address)) {
    await startListening(server, {
      port: address.port,
      ...(address.host && { host: address.host }),
    })
    return
  }
  try {
    await startListening(server, address, access)
  } catch (error) {
    if (getErrorCode(error) !== 'EADDRINUSE' || !(await isStaleSocket(address.path))) throw error
    await unlink(address.path)
    await startListening(server, address, access)
  }
}

function startListening(
  server: Server,
  options: ListenOptions,
  access?: SocketAccessOptions,
): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', reject)
    bindPrivately(access, () => {
      server.listen(options, () => {
        server.off('error', reject)
        resolve()
      })
    })
  })
}

// `OPTIONS *` requests the methods of the whole server (RFC 9112 §3.2.4). @hono/node-server rejects the target
// `*`.
function respondToServerOptions(outgoing: ServerResponse): void {
  outgoing.writeHead(204, { Allow: 'GET, HEAD, OPTIONS', 'Cache-Control': 'no-store' })
  outgoing.end()
}

function formatUrl(server: Server, scheme: string): string {
  const address = server.address()
  if (address === null || typeof address === 'string') return `unix:${address ?? ''}`
  const { family, address: ip, port } = address
  return `${scheme}://${family === 'IPv6' ? `[${ip}]` : ip}:${port}`
}
