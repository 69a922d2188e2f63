import { ServerResponse } from 'node:http'
import { Http2ServerResponse, type Http2Session, type Http2Stream } from 'node:http2'
import type { Socket } from 'node:net'
import { createPageCopier } from './copy-to-pages.js'

/**
 * The memory limit for all pending bodies is `bytes`, or `longest` times the longest body if that is more.
 * Progress of a client is measured over `stoppedMs`, and the limit is checked every `everyMs`.
 */
const LIMIT = { bytes: 24 * 1024 * 1024, longest: 4, stoppedMs: 5000, everyMs: 1000 }
// TLS and HTTP/2 copy all that they are given. So a client gets at most this much ahead: a TLS record
// (RFC 8446 §5.1) or a DATA frame (RFC 9113 §6.5.2).
const CHUNK_BYTES = 16 * 1024
// HTTP/1.1 bodies up to this length are sent in one write, and are not counted.
const SHORT_BYTES = 64 * 1024
// Plain HTTP sends the shared bytes without a copy, and few large writes are fastest. Node.js reports
// progress only when a chunk has left. So a long body has a dozen chunks, to measure how fast its client is.
const PLAIN_CHUNK_BYTES = 1.25 * 1024 * 1024
const PLAIN_CHUNKS = 12
// Memory for each client: a connection with TLS and HTTP/2, and the chunk. Measured with 700 clients.
const CLIENT_BYTES = 160 * 1024
// A client so slow that a whole body would take longer than this counts as stopped.
const SLOWEST_MS = 60_000

export type ResponseOrStream = ServerResponse | Http2Stream
type AnyServerResponse = ServerResponse | Http2ServerResponse

/** A body that is being sent to one client; the bytes are the same for all clients of a snapshot. */
type Body = {
  bytes: Uint8Array
  /** How many of the bytes have left the process. */
  sentBytes: number
  /** When the progress was last measured, and `sentBytes` at that time. */
  measured: { readonly atMs: number; readonly sentBytes: number }
  isStopped: boolean
  readonly connection: { readonly destroyed: boolean; destroy(): unknown }
}

/** Bodies that are being sent, the oldest first. */
type BodyMap = Map<ResponseOrStream, Body>
type SessionSockets = WeakMap<Http2Session, Socket>

export type PendingBodies = {
  /** Options for node:http, node:https and node:http2: responses that `end` a long body in chunks. */
  readonly classes: {
    readonly ServerResponse: typeof ServerResponse
    readonly Http1ServerResponse: typeof ServerResponse
    readonly Http2ServerResponse: typeof Http2ServerResponse
  }
  /** The TCP socket of each HTTP/2 session, to end a session that cannot write. */
  readonly sockets: SessionSockets
  /** Whether the app has ended the response, and the client has not received all of the body. */
  isPending(response: ResponseOrStream): boolean
  /** Memory that all pending bodies and their clients take; a body of several clients counts once. */
  bytes(): number
  readonly close: () => void
}

/**
 * Tracks response bodies that clients have not fully received. A body is written in chunks, the next one
 * when the previous chunk has left the process. So over plain HTTP, TLS and HTTP/2 a client that stops
 * reading costs little besides the body, which it shares with other clients of the snapshot. When the
 * pending bodies exceed the limit, stopped clients are disconnected, the oldest first.
 */
export function createPendingBodies(limit = LIMIT): PendingBodies {
  const bodies: BodyMap = new Map()
  const sockets: SessionSockets = new WeakMap()
  const timer = setInterval(() => {
    measureProgress(bodies, limit.stoppedMs)
    disconnectStopped(bodies, sockets, limit)
  }, limit.everyMs).unref()
  return {
    classes: createResponseClasses(createSender(bodies)),
    sockets,
    isPending: (response) => bodies.has(response),
    bytes: () => countUse(bodies).totalBytes,
    close: () => {
      clearInterval(timer)
    },
  }
}

/** Writes a body in chunks, and calls `end` with the last one. */
type Send = (response: AnyServerResponse, bytes: Uint8Array, end: End) => void
type End = (lastChunk: Uint8Array) => unknown

function createSender(bodies: BodyMap): Send {
  const copyToOwnPages = createPageCopier()
  return (response, bytes, end) => {
    const [key, connection] =
      'stream' in response ? [response.stream, response.stream] : [response, response.req.socket]
    const measured = { atMs: performance.now(), sentBytes: 0 }
    const body: Body = { bytes, sentBytes: 0, measured, isStopped: false, connection }
    bodies.set(key, body)
    key.once('close', () => bodies.delete(key))
    const chunkBytes = chooseChunkBytes(response, bytes)
    let writtenBytes = 0
    const writeNext = (error?: Error | null): void => {
      if (error || connection.destroyed) return
      body.sentBytes = writtenBytes
      // A client that does not take the first chunk immediately may hold the bytes for long. This closure
      // must not refer to `bytes`, so that only the copy remains in memory.
      if (writtenBytes > 0) body.bytes = copyToOwnPages(body.bytes)
      const chunk = body.bytes.subarray(writtenBytes, writtenBytes + chunkBytes)
      writtenBytes += chunk.length
      if (writtenBytes === body.bytes.length) end(chunk)
      else (response as ServerResponse).write(chunk, writeNext)
    }
    writeNext()
  }
}

function chooseChunkBytes(response: AnyServerResponse, { length }: Uint8Array): number {
  if ('stream' in response || 'encrypted' in response.req.socket) return CHUNK_BYTES
  return Math.max(PLAIN_CHUNK_BYTES, Math.ceil(length / PLAIN_CHUNKS))
}

function createResponseClasses(send: Send): PendingBodies['classes'] {
  class Http1Response extends ServerResponse {
    override end(chunk?: unknown, encoding?: unknown, callback?: unknown): this {
      const isLong = chunk instanceof Uint8Array && chunk.length > SHORT_BYTES
      if (!isLong || this.req.socket.destroyed) {
        return super.end(chunk, encoding as never, callback as never)
      }
      send(this, chunk, (last) => super.end(last, encoding as never, callback as never))
      return this
    }
  }

  // Sends short bodies in chunks too, because one connection can have many streams.
  class Http2Response extends Http2ServerResponse {
    override end(chunk?: unknown, encoding?: unknown, callback?: unknown): this {
      const end = (last: unknown) => super.end(last as never, encoding as never, callback as never)
      const isBody = chunk instanceof Uint8Array && chunk.length > 0
      if (!isBody || this.stream.destroyed) return end(chunk)
      send(this, chunk, end)
      return this
    }
  }

  return {
    ServerResponse: Http1Response as never,
    Http1ServerResponse: Http1Response as never,
    Http2ServerResponse: Http2Response as never,
  }
}

/** Updates `isStopped` of each body that was last measured at least `stoppedMs` ago. */
function measureProgress(bodies: BodyMap, stoppedMs: number): void {
  const now = performance.now()
  for (const [response, body] of bodies) {
    // A pipelined response that waits behind another one emits no event "close".
    if (body.connection.destroyed) bodies.delete(response)
    if ('session' in response) resumeReading(response)
    const { atMs, sentBytes } = body.measured
    if (now - atMs < stoppedMs) continue
    const sentShare = (body.sentBytes - sentBytes) / body.bytes.length
    body.isStopped = sentShare < (now - atMs) / SLOWEST_MS
    body.measured = { atMs: now, sentBytes: body.sentBytes }
  }
}

/**
 * COMPAT Node.js 22 and earlier: an HTTP/2 session that cannot write stops reading, and then does not notice
 * that its client has disconnected.
 */
function resumeReading({ session }: Http2Stream): void {
  const socket = session?.socket as { _handle?: { readStart?: () => unknown } } | undefined
  socket?._handle?.readStart?.()
}

function disconnectStopped(bodies: BodyMap, sockets: SessionSockets, limit: typeof LIMIT): void {
  const { clients, streams, totalBytes, longestBytes } = countUse(bodies)
  const maxBytes = Math.max(limit.bytes, limit.longest * longestBytes)
  let remainingBytes = totalBytes
  for (const [response, { bytes, isStopped, connection }] of bodies) {
    if (remainingBytes <= maxBytes) return
    if (!isStopped) continue
    remainingBytes -= CLIENT_BYTES + (decrease(clients, bytes) === 0 ? bytes.length : 0)
    // Read before destroy(): a destroyed stream has no session.
    const session = 'session' in response ? response.session : undefined
    connection.destroy()
    // Behind a proxy, other streams of the session may belong to other clients, so the session ends only
    // with its last stream.
    if (session && decrease(streams, session) === 0) sockets.get(session)?.destroy()
  }
}

/** Counts clients of each body, pending streams of each HTTP/2 session, and memory. */
function countUse(bodies: BodyMap) {
  const clients = new Map<Uint8Array, number>()
  const streams = new Map<Http2Session, number>()
  let [totalBytes, longestBytes] = [0, 0]
  for (const [response, { bytes }] of bodies) {
    const isFirst = increase(clients, bytes) === 1
    totalBytes += CLIENT_BYTES + (isFirst ? bytes.length : 0)
    longestBytes = Math.max(longestBytes, bytes.length)
    if ('session' in response && response.session) increase(streams, response.session)
  }
  return { clients, streams, totalBytes, longestBytes }
}

function increase<K>(counts: Map<K, number>, key: K, by = 1): number {
  const count = (counts.get(key) ?? 0) + by
  counts.set(key, count)
  return count
}

const decrease = <K>(counts: Map<K, number>, key: K) => increase(counts, key, -1)
