import type { IncomingMessage, Server, ServerResponse } from 'node:http'
import type { Http2Session, Http2Stream } from 'node:http2'
import type { Socket } from 'node:net'
import { Server as TlsServer, type TLSSocket } from 'node:tls'
import type { PendingBodies, ResponseOrStream } from './bodies.js'

type Connection = Socket | Http2Session
type Bodies = Pick<PendingBodies, 'isPending' | 'sockets'>

/**
 * Limits the connections of a server. When a new connection exceeds `maxConnections`, the connection that has
 * been idle for the longest time is closed. So clients with idle connections cannot lock out a scraper. Neither
 * can clients that never finish the TLS handshake, or never read a response.
 *
 * @returns A function that closes the server. The server then accepts no new connection, lets responses finish
 *   for at most `graceMs`, and closes all connections. closeIdleConnections() of Node.js would not close a
 *   connection on which the client has not sent anything yet.
 */
export function trackConnections(
  server: Server,
  maxConnections: number,
  bodies: Bodies,
): (graceMs: number) => Promise<void> {
  const sockets = new Set<Socket>()
  let closing: Promise<void> | undefined
  const table = createConnectionTable({
    onAdd(connection) {
      // A TLS handshake can end after the server began to close.
      if (closing !== undefined) connection.destroy()
    },
    onIdle(connection) {
      if (closing === undefined) return
      if (isSession(connection)) connection.close()
      else connection.destroySoon()
    },
  })

  server.on('connection', (socket: Socket) => {
    sockets.add(socket)
    socket.once('close', () => sockets.delete(socket))
    if (sockets.size > maxConnections) closeLeastNeeded(table, bodies, socket)
    if (!(server instanceof TlsServer)) table.add(socket)
  })
  if (server instanceof TlsServer) trackEncrypted(server, table, bodies)
  server.on('request', ({ socket }: IncomingMessage, outgoing: ServerResponse) => {
    // For HTTP/2, the table contains the session instead of the socket, and `trackEncrypted` adds its
    // responses.
    if (table.pending.has(socket)) table.addResponse(socket, outgoing)
  })

  return (graceMs) =>
    (closing ??= new Promise((resolve) => {
      const timer = setTimeout(() => {
        for (const socket of sockets) socket.destroy()
      }, graceMs)
      server.close(() => {
        clearTimeout(timer)
        resolve()
      })
      for (const [connection, responses] of table.pending) {
        if (responses.size === 0) connection.destroy()
        else if (isSession(connection)) connection.close()
      }
    }))
}

type ConnectionTable = {
  /**
   * The unfinished responses of each open connection. A connection without any is idle. Idle connections are in
   * the order in which they became idle.
   */
  readonly pending: Map<Connection, Set<ResponseOrStream>>
  add(connection: Connection): void
  addResponse(connection: Connection, response: ResponseOrStream): void
}

function createConnectionTable(events: {
  onAdd(connection: Connection): void
  onIdle(connection: Connection): void
}): ConnectionTable {
  const pending: ConnectionTable['pending'] = new Map()
  return {
    pending,
    add(connection) {
      events.onAdd(connection)
      pending.set(connection, new Set())
      connection.once('close', () => pending.delete(connection))
    },
    addResponse(connection, response) {
      pending.get(connection)?.add(response)
      response.once('close', () => {
        const remaining = pending.get(connection)
        if (!remaining) return
        remaining.delete(response)
        if (remaining.size > 0) return
        // The connection has just become idle, so it moves to the end of the order.
        pending.delete(connection)
        pending.set(connection, remaining)
        events.onIdle(connection)
      })
    },
  }
}

/**
 * Adds each TCP socket to the table, and replaces it by its TLS socket or HTTP/2 session after the TLS
 * handshake.
 */
function trackEncrypted(server: TlsServer, table: ConnectionTable, bodies: Bodies): void {
  // The key is the address and port of the client, because a TLSSocket has no reference to its TCP socket.
  const tcpSockets = new Map<string, Socket>()
  const formatOrigin = ({ remoteAddress, remotePort }: Socket) => `${remoteAddress} ${remotePort}`

  server.on('connection', (socket: Socket) => {
    const origin = formatOrigin(socket)
    // A client of a Unix socket has no port, so its connection is added to the table only after the TLS
    // handshake.
    if (socket.remotePort === undefined) return
    table.add(socket)
    tcpSockets.set(origin, socket)
    socket.once('close', () => tcpSockets.delete(origin))
  })
  server.on('secureConnection', (socket: TLSSocket) => {
    const tcpSocket = tcpSockets.get(formatOrigin(socket))
    if (tcpSocket) table.pending.delete(tcpSocket)
    if (socket.alpnProtocol !== 'h2') table.add(socket)
  })
  server.on('session', (session: Http2Session) => {
    const tcpSocket = tcpSockets.get(formatOrigin(session.socket))
    if (tcpSocket) bodies.sockets.set(session, tcpSocket)
    table.add(session)
    session.on('stream', (stream: Http2Stream) => {
      table.addResponse(session, stream)
    })
  })
}

/**
 * Closes one connection: the one that has been idle for the longest time, or else one whose responses the
 * exporter has all ended, or else the newest one.
 */
function closeLeastNeeded({ pending }: ConnectionTable, bodies: Bodies, newest: Socket): void {
  // A response that the exporter has ended is unfinished if its client does not read it or keeps an HTTP/2
  // stream open.
  const isWritten = (response: ResponseOrStream) =>
    response.writableEnded || bodies.isPending(response)
  const all = [...pending]
  const [connection] =
    all.find(([, responses]) => responses.size === 0) ??
    all.find(([, responses]) => [...responses].every(isWritten)) ??
    []
  if (connection === undefined) {
    newest.destroy()
    return
  }
  pending.delete(connection)
  connection.destroy()
  // destroy() does not end an HTTP/2 session that cannot write, so its TCP socket is destroyed too.
  if (isSession(connection)) bodies.sockets.get(connection)?.destroy()
}

function isSession(connection: Connection): connection is Http2Session {
  return !('destroySoon' in connection)
}
