import { getRequestListener } from '@hono/node-server'
import { unlink } from 'node:fs/promises'
import { createServer, type Server, type ServerOptions, type ServerResponse } from 'node:http'
import type { ListenOptions } from 'node:net'
import type { Log } from '../log/log.js'
import { createBodies, type Bodies } from './bodies.js'
import { trackConnections } from './connections.js'
import { gatedServer, type Gate, type Respond } from './gated-server.js'
import { formatAddress, type ListenAddress } from '../config/listen-address.js'
import { normalizeRequest } from './normalize-request.js'
import {
  bindPrivately,
  codeOf,
  isStaleSocket,
  setAccess,
  type AccessOptions,
} from './unix-socket.js'

export type Timeouts = Pick<
  ServerOptions,
  'headersTimeout' | 'requestTimeout' | 'keepAliveTimeout' | 'connectionsCheckingInterval'
>

const TIMEOUTS: Timeouts = {
  headersTimeout: 5000,
  requestTimeout: 30_000,
  // Longer than a scrape interval: Node's 5 s makes every scrape connect anew, or race a close.
  keepAliveTimeout: 75_000,
  connectionsCheckingInterval: 1000,
}
const MAX_HEADER_BYTES = 8192
const MAX_CONNECTIONS = 1024
// A reader that takes nothing pins its snapshot. More than the longest wait for a scrape, 10 min.
const SILENCE_MS = 660_000

export type ListenerOptions = {
  /** Default: everybody may ask, unencrypted. */
  readonly gate?: Gate | undefined
  /** At each address; beyond it an idle connection makes room. Default: 1024. */
  readonly maxConnections?: number
  /** Milliseconds, see node:http. Default: 5 s for headers, 30 s for a request, 75 s idle. */
  readonly timeouts?: Timeouts
  /** Who may connect to a Unix socket. Default: by the umask. */
  readonly socketAccess?: AccessOptions
}

export type Listener = {
  /** Where it listens, with the real port. */
  readonly urls: readonly string[]
  /** Accepts no more, lets requests under way finish for at most `graceMs`, then cuts them off. */
  readonly close: (graceMs: number) => Promise<void>
}

/**
 * Serves the app on every address.
 *
 * An optional address that this machine lacks is skipped; a socket file that a dead process left is
 * replaced.
 *
 * @throws Error with a line that names the address; then nothing listens.
 */
export async function listen(
  app: { fetch(request: Request, env?: object): Response | Promise<Response> },
  addresses: readonly ListenAddress[],
  log: Log,
  options: ListenerOptions = {},
): Promise<Listener> {
  const open: { url: string; close: Listener['close'] }[] = []
  const bodies = createBodies()
  const close = async (graceMs: number) => {
    await Promise.all(open.map((each) => each.close(graceMs)))
    bodies.close()
  }
  try {
    for (const address of addresses) {
      const one = await listenOn(app, address, log, options, bodies)
      if (one !== undefined) open.push(one)
    }
    if (open.length === 0) throw new Error('this machine has none of the addresses to listen on')
  } catch (error) {
    await close(0)
    throw error
  }
  for (const { url } of open) log.info('listening', { address: url })
  return { urls: open.map(({ url }) => url), close }
}

/** Most connections at an address for a process that may have so many files open. */
export function connectionsFor(maxFds = Infinity): number {
  // Both default addresses together leave half, for dialling XMPP servers and reading files.
  return Math.min(Math.max(Math.floor(maxFds / 4), 1), MAX_CONNECTIONS)
}

async function listenOn(
  app: Parameters<typeof listen>[0],
  address: ListenAddress,
  log: Log,
  { gate, timeouts, maxConnections = MAX_CONNECTIONS, socketAccess }: ListenerOptions,
  bodies: Bodies,
): Promise<{ url: string; close: Listener['close'] } | undefined> {
  const answer = getRequestListener((request, env) => app.fetch(request, env), {
    hostname: 'localhost',
  })
  const respond: Respond = (incoming, outgoing) => {
    normalizeRequest(incoming)
    const { url, method } = incoming
    if (url === '*' && method === 'OPTIONS') respondToServerOptions(outgoing)
    else void answer(incoming, outgoing)
  }
  const options = { ...TIMEOUTS, ...timeouts, maxHeaderSize: MAX_HEADER_BYTES, ...bodies.classes }
  const server = gate ? gatedServer(gate, options, respond, log) : createServer(options, respond)
  // A client may end its side after the request (RFC 9112 §9.6). Without this Node.js ends the connection
  // then, and the chunks of a long body that are still to come are lost.
  Object.assign(server, { httpAllowHalfOpen: true })
  server.setTimeout(SILENCE_MS)
  const close = trackConnections(server, maxConnections, bodies)
  try {
    await bind(server, address, socketAccess)
  } catch (error) {
    const code = codeOf(error)
    const lacking = code === 'EADDRNOTAVAIL' || code === 'EAFNOSUPPORT'
    if (lacking && 'port' in address && address.optional) {
      log.info('this machine lacks a default address, skipped', { address: formatAddress(address) })
      return undefined
    }
    throw new Error(`cannot listen on ${formatAddress(address)}: ${REASONS[code] ?? code}`, {
      cause: error,
    })
  }
  if ('path' in address && socketAccess) {
    try {
      setAccess(address.path, socketAccess)
    } catch (error) {
      await close(0)
      throw error
    }
  }
  server.on('error', (error) => {
    log.warn('a connection could not be accepted', { error: error.message })
  })
  return { url: urlOf(server, gate?.tls ? 'https' : 'http'), close }
}

const REASONS: Readonly<Record<string, string>> = {
  EADDRINUSE: 'the address is in use',
  EADDRNOTAVAIL: 'this machine does not have that address',
  EAFNOSUPPORT: 'this machine does not have that kind of address',
  EACCES: 'not permitted',
  ENOENT: 'the directory does not exist, or the name is unknown',
  ENOTFOUND: 'the name is unknown',
}

/** A socket file that a dead process left is replaced; one that somebody listens on is EADDRINUSE. */
export async function bind(
  server: Server,
  address: ListenAddress,
  access?: AccessOptions,
): Promise<void> {
  if ('fd' in address) {
    // Node takes it; its types don't say so.
    await start(server, address as ListenOptions)
    return
  }
  if (!('path' in address)) {
    await start(server, { port: address.port, ...(address.host && { host: address.host }) })
    return
  }
  try {
    await start(server, address, access)
  } catch (error) {
    if (codeOf(error) !== 'EADDRINUSE' || !(await isStaleSocket(address.path))) throw error
    await unlink(address.path)
    await start(server, address, access)
  }
}

function start(server: Server, options: ListenOptions, access?: AccessOptions): Promise<void> {
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

// The server as a whole (RFC 9112 §3.2.4); @hono/node-server refuses such a target.
function respondToServerOptions(outgoing: ServerResponse): void {
  outgoing.writeHead(204, { Allow: 'GET, HEAD, OPTIONS', 'Cache-Control': 'no-store' })
  outgoing.end()
}

function urlOf(server: Server, scheme: string): string {
  const at = server.address()
  if (at === null || typeof at === 'string') return `unix:${at ?? ''}`
  return `${scheme}://${at.family === 'IPv6' ? `[${at.address}]` : at.address}:${at.port}`
}
