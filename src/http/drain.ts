import type { IncomingMessage, Server, ServerResponse } from 'node:http'
import type { Http2Session } from 'node:http2'
import type { Socket } from 'node:net'
import { Server as TlsServer, type TLSSocket } from 'node:tls'

/**
 * The end of a server, unencrypted, with TLS or with HTTP/2: accepts no more, lets requests under way
 * finish for at most `graceMs`, then cuts them off.
 *
 * closeIdleConnections() spares a connection that has not sent anything yet, which would then hold the
 * end up for the whole grace, so we keep book of what each connection waits for.
 */
export function drainable(server: Server): (graceMs: number) => Promise<void> {
  const sockets = new Set<Socket>()
  const unanswered = new Map<Socket, number>()
  const sessions = new Set<Http2Session>()
  let closing: Promise<void> | undefined

  function count(socket: Socket): void {
    // Its handshake began before the end and is over now.
    if (closing !== undefined) socket.destroy()
    unanswered.set(socket, 0)
    socket.once('close', () => unanswered.delete(socket))
  }

  server.on('connection', (socket: Socket) => {
    sockets.add(socket)
    socket.once('close', () => sockets.delete(socket))
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
      const left = (unanswered.get(socket) ?? 0) - 1
      if (unanswered.has(socket)) unanswered.set(socket, left)
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
