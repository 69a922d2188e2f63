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
  // Longer than a scrape interval. With the 5 s of Node.js each scrape needs a new connection, or uses one
  // just as the server closes it.
  keepAliveTimeout: 75_000,
  connectionsCheckingInterval: 1000,
}
const MAX_HEADER_BYTES = 8192
const MAX_CONNECTIONS = 1024
// A client that does not read holds its snapshot in memory. Longer than the longest scrape, 10 min.
const SILENCE_MS = 660_000

export type ListenerOptions = {
  /** Default: plain HTTP for everybody. */
  readonly gate?: Gate | undefined
  /** The limit for each address; above it, an idle connection is closed. Default: 1024. */
  readonly maxConnections?: number
  /** Milliseconds, see node:http. Default: 5 s for headers, 30 s for a request, 75 s idle. */
  readonly timeouts?: ServerTimeouts
  /** Mode and group of Unix sockets. Default: as the umask says. */
  readonly socketAccess?: SocketAccessOptions
}

export type Listener = {
  /** The URLs of all addresses, with the actual port. */
  readonly urls: readonly string[]
  /** Accepts no new connection, lets pending requests finish for at most `graceMs`, then aborts them. */
  readonly close: (graceMs: number) => Promise<void>
}

/**
 * Serves the app on every address.
 *
 * Skips an optional address that this machine does not have. Replaces a socket file whose process is gone.
 *
 * @throws Error with one line that names the address. Then no address stays open.
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

/** @returns The connection limit for each address of a process that may have `maxFds` open files. */
export function chooseConnectionLimit(maxFds = Infinity): number {
  // The two default addresses use at most half. The rest is for XMPP connections and files.
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
  // A client may close its sending side after the request (RFC 9112 §9.6). By default Node.js then ends the
  // connection, and the remaining chunks of a long body are lost.
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
    throw new Error(`cannot listen on ${formatAddress(address)}: ${REASONS[code] ?? code}`, {
      cause: error,
    })
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

/** Replaces a socket file whose process is gone. When a process listens on it, the error is EADDRINUSE. */
export async function bind(
  server: Server,
  address: ListenAddress,
  access?: SocketAccessOptions,
): Promise<void> {
  if ('fd' in address) {
    // Node.js accepts `fd`, but its types lack it.
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

// `OPTIONS *` asks about the whole server (RFC 9112 §3.2.4). @hono/node-server rejects this target.
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
