import type { IncomingMessage, Server, ServerResponse } from 'node:http'
import type { Http2Session, Http2Stream } from 'node:http2'
import type { Socket } from 'node:net'
import { Server as TlsServer, type TLSSocket } from 'node:tls'
import type { AnyResponse, Bodies } from './bodies.js'

const originOf = ({ remoteAddress, remotePort }: Socket) => `${remoteAddress} ${remotePort}`

/**
 * Keeps book of a server's connections, unencrypted, with TLS or with HTTP/2. Over `maxConnections` the
 * one that has been without a request longest makes room for a new one, so that no crowd of idle
 * connections keeps a scraper out; nor does one that never ends its handshake or takes no answer.
 *
 * @returns The end: accepts no more, lets requests under way finish for at most `graceMs`, then cuts
 *   them off. closeIdleConnections() would spare a connection that has not sent anything yet, which
 *   then holds the end up for the whole grace.
 */
export function trackConnections(
  server: Server,
  maxConnections: number,
  bodies: Pick<Bodies, 'isUnderway' | 'sockets'>,
): (graceMs: number) => Promise<void> {
  const sockets = new Set<Socket>()
  /** Answers under way; without any, in the order in which they came to that. */
  const unanswered = new Map<Socket | Http2Session, Set<AnyResponse>>()
  /** Not yet encrypted, by where they come from: their TLSSocket doesn't tell which is its own. */
  const shaking = new Map<string, Socket>()
  let closing: Promise<void> | undefined

  function keepBook(connection: Socket | Http2Session): void {
    // Its handshake began before the end and is over now.
    if (closing !== undefined) connection.destroy()
    unanswered.set(connection, new Set())
    connection.once('close', () => unanswered.delete(connection))
  }

  function keepShaking(socket: Socket): void {
    const origin = originOf(socket)
    // A socket file's connections have none: its permissions say who may use it.
    if (socket.remotePort === undefined) return
    keepBook(socket)
    shaking.set(origin, socket)
    socket.once('close', () => shaking.delete(origin))
  }

  function count(connection: Socket | Http2Session, answer: AnyResponse): void {
    unanswered.get(connection)?.add(answer)
    answer.once('close', () => {
      const left = unanswered.get(connection)
      if (!left) return
      left.delete(answer)
      if (left.size > 0) return
      unanswered.delete(connection)
      unanswered.set(connection, left)
      if (closing === undefined) return
      if ('destroySoon' in connection) connection.destroySoon()
      else connection.close()
    })
  }

  const isDone = (answer: AnyResponse) => answer.writableEnded || bodies.isUnderway(answer)

  function makeRoom(newest: Socket): void {
    const all = [...unanswered]
    // Of those that are busy one for which we have done all: its client leaves the answer lying about,
    // or an HTTP/2 stream open.
    const [connection] =
      all.find(([, answers]) => answers.size === 0) ??
      all.find(([, answers]) => [...answers].every(isDone)) ??
      []
    if (connection) unanswered.delete(connection)
    ;(connection ?? newest).destroy()
    // A session of HTTP/2 that cannot write does not end by itself.
    if (connection && !('destroySoon' in connection)) bodies.sockets.get(connection)?.destroy()
  }

  server.on('connection', (socket: Socket) => {
    sockets.add(socket)
    socket.once('close', () => sockets.delete(socket))
    if (sockets.size > maxConnections) makeRoom(socket)
    if (server instanceof TlsServer) keepShaking(socket)
    else keepBook(socket)
  })
  server.on('secureConnection', (socket: TLSSocket) => {
    const plain = shaking.get(originOf(socket))
    if (plain) unanswered.delete(plain)
    if (socket.alpnProtocol !== 'h2') keepBook(socket)
  })
  server.on('session', (session: Http2Session) => {
    const raw = shaking.get(originOf(session.socket))
    if (raw) bodies.sockets.set(session, raw)
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
      for (const [connection, answers] of unanswered) {
        if (answers.size === 0) connection.destroy()
        else if (!('destroySoon' in connection)) connection.close()
      }
    }))
}
