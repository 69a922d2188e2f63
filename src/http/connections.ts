import type { IncomingMessage, Server, ServerResponse } from 'node:http'
import type { Http2Session } from 'node:http2'
import type { Socket } from 'node:net'
import { Server as TlsServer, type TLSSocket } from 'node:tls'

/**
 * Keeps book of a server's connections, unencrypted, with TLS or with HTTP/2. Over `maxConnections` the
 * one that has been without a request longest makes room for a new one, so that no crowd of idle
 * connections keeps a scraper out.
 *
 * @returns The end: accepts no more, lets requests under way finish for at most `graceMs`, then cuts
 *   them off. closeIdleConnections() would spare a connection that has not sent anything yet, which
 *   then holds the end up for the whole grace.
 */
export function keepConnections(
  server: Server,
  maxConnections: number,
): (graceMs: number) => Promise<void> {
  const sockets = new Set<Socket>()
  /** Requests under way; without any, in the order in which they came to that. */
  const unanswered = new Map<Socket, number>()
  const sessions = new Set<Http2Session>()
  let closing: Promise<void> | undefined

  function count(socket: Socket): void {
    // Its handshake began before the end and is over now.
    if (closing !== undefined) socket.destroy()
    unanswered.set(socket, 0)
    socket.once('close', () => unanswered.delete(socket))
  }

  function makeRoom(newest: Socket): void {
    for (const [socket, requests] of unanswered) {
      if (requests > 0) continue
      unanswered.delete(socket)
      socket.destroy()
      return
    }
    newest.destroy()
  }

  server.on('connection', (socket: Socket) => {
    sockets.add(socket)
    socket.once('close', () => sockets.delete(socket))
    if (sockets.size > maxConnections) makeRoom(socket)
    if (!(server instanceof TlsServer)) count(socket)
  })
  server.on('secureConnection', (socket: TLSSocket) => {
    if (socket.alpnProtocol !== 'h2') count(socket)
  })
  server.on('session', (session: Http2Session) => {
    if (closing !== undefined) session.close()
    sessions.add(session)
    session.once('close', () => sessions.delete(session))
  })
  server.on('request', ({ socket }: IncomingMessage, outgoing: ServerResponse) => {
    // A stream of HTTP/2: its session knows.
    if (!unanswered.has(socket)) return
    unanswered.set(socket, unanswered.get(socket)! + 1)
    outgoing.once('close', () => {
      if (!unanswered.has(socket)) return
      const left = unanswered.get(socket)! - 1
      if (left === 0) unanswered.delete(socket)
      unanswered.set(socket, left)
      if (left === 0 && closing !== undefined) socket.destroySoon()
    })
  })

  return (graceMs) =>
    (closing ??= new Promise((resolve) => {
      const cutOff = setTimeout(() => {
        for (const socket of sockets) socket.destroy()
      }, graceMs)
      server.close(() => {
        clearTimeout(cutOff)
        resolve()
      })
      for (const [socket, requests] of unanswered) if (requests === 0) socket.destroy()
      for (const session of sessions) session.close()
    }))
}
