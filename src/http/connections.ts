import type { EventEmitter } from 'node:events'
import type { IncomingMessage, Server, ServerResponse } from 'node:http'
import type { Http2Session, Http2Stream } from 'node:http2'
import type { Socket } from 'node:net'
import { Server as TlsServer, type TLSSocket } from 'node:tls'

/**
 * Answers that nobody takes: each may hold another exposition, of megabytes. Node does not say how much
 * of a chunk went out, so one that is on its way for longer than that looks the same.
 */
const UNTAKEN = { bytes: 256 * 1024 * 1024, everyMs: 10_000 }

/**
 * Keeps book of a server's connections, unencrypted, with TLS or with HTTP/2. Over `maxConnections` the
 * one that has been without a request longest makes room for a new one, so that no crowd of idle
 * connections keeps a scraper out. Of readers that take nothing, as many are cut off as hold more than
 * `untaken.bytes` together.
 *
 * @returns The end: accepts no more, lets requests under way finish for at most `graceMs`, then cuts
 *   them off. closeIdleConnections() would spare a connection that has not sent anything yet, which
 *   then holds the end up for the whole grace.
 */
export function keepConnections(
  server: Server,
  maxConnections: number,
  untaken = UNTAKEN,
): (graceMs: number) => Promise<void> {
  const sockets = new Set<Socket>()
  /** Requests under way; without any, in the order in which they came to that. */
  const unanswered = new Map<Socket | Http2Session, number>()
  let closing: Promise<void> | undefined

  function keepBook(connection: Socket | Http2Session): void {
    // Its handshake began before the end and is over now.
    if (closing !== undefined) connection.destroy()
    unanswered.set(connection, 0)
    connection.once('close', () => unanswered.delete(connection))
  }

  function count(connection: Socket | Http2Session, answer: EventEmitter): void {
    unanswered.set(connection, unanswered.get(connection)! + 1)
    answer.once('close', () => {
      if (!unanswered.has(connection)) return
      const left = unanswered.get(connection)! - 1
      if (left === 0) unanswered.delete(connection)
      unanswered.set(connection, left)
      if (left > 0 || closing === undefined) return
      if ('destroySoon' in connection) connection.destroySoon()
      else connection.close()
    })
  }

  function makeRoom(newest: Socket): void {
    for (const [connection, requests] of unanswered) {
      if (requests > 0) continue
      unanswered.delete(connection)
      connection.destroy()
      return
    }
    newest.destroy()
  }

  let before = new Map<Socket, number>()
  function cutOffUntaken(): void {
    const now = new Map<Socket, number>()
    for (const [connection, requests] of unanswered) {
      if (requests === 0 || !('writableLength' in connection)) continue
      if (connection.writableLength > 0) now.set(connection, connection.writableLength)
    }
    const stuck = [...now].filter(([socket, bytes]) => before.get(socket) === bytes)
    let held = stuck.reduce((sum, [, bytes]) => sum + bytes, 0)
    for (const [socket, bytes] of stuck) {
      if (held <= untaken.bytes) break
      held -= bytes
      socket.destroy()
    }
    before = now
  }
  server.once('listening', () => {
    const looking = setInterval(cutOffUntaken, untaken.everyMs).unref()
    server.once('close', () => {
      clearInterval(looking)
    })
  })

  server.on('connection', (socket: Socket) => {
    sockets.add(socket)
    socket.once('close', () => sockets.delete(socket))
    if (sockets.size > maxConnections) makeRoom(socket)
    if (!(server instanceof TlsServer)) keepBook(socket)
  })
  server.on('secureConnection', (socket: TLSSocket) => {
    if (socket.alpnProtocol !== 'h2') keepBook(socket)
  })
  server.on('session', (session: Http2Session) => {
    keepBook(session)
    session.on('stream', (stream: Http2Stream) => {
      count(session, stream)
    })
  })
  server.on('request', ({ socket }: IncomingMessage, outgoing: ServerResponse) => {
    // A stream of HTTP/2: its session counts it.
    if (unanswered.has(socket)) count(socket, outgoing)
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
      for (const [connection, requests] of unanswered) {
        if (requests === 0) connection.destroy()
        else if (!('destroySoon' in connection)) connection.close()
      }
    }))
}
