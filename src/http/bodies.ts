import { ServerResponse } from 'node:http'
import { constants, Http2ServerResponse, type Http2Session, type Http2Stream } from 'node:http2'
import type { Socket } from 'node:net'
import { createPageCopier } from './copy-to-pages.js'

/**
 * The memory limit for all response bodies that are being sent is `bytes`, or `longest` times the size of the
 * longest body if that is more. Above the limit, clients that have stopped reading are disconnected. The limit is checked every `everyMs`. Whether a client has stopped reading is
 * decided by its progress over `stoppedMs`.
 */
const LIMIT = { bytes: 24 * 1024 * 1024, longest: 4, stoppedMs: 5000, everyMs: 1000 }
// TLS and HTTP/2 connections copy each chunk that is written. Chunks of 16 KiB keep these copies small. 16 KiB
// is the maximum size of a TLS record (RFC 8446 §5.1) and the default maximum size of a DATA frame (RFC 9113
// §6.5.2).
const CHUNK_BYTES = 16 * 1024
// HTTP/1.1 bodies of at most 64 KiB are sent in one write, and do not count towards the memory limit.
const SHORT_BYTES = 64 * 1024
// Over plain HTTP, Node.js sends the shared bytes without a copy, and few large chunks are fastest. Node.js
// reports progress only when a chunk has been sent. So a body longer than 15 MiB has twelve chunks, which
// suffices to measure how fast its client reads.
const PLAIN_CHUNK_BYTES = 1.25 * 1024 * 1024
const PLAIN_CHUNKS = 12
// The memory that each client needs besides the body: a connection with TLS and HTTP/2, and a chunk. This size
// was measured with 700 clients.
const CLIENT_BYTES = 160 * 1024
// A client that would need more than a minute to read the whole body is treated as if it had stopped reading.
const SLOWEST_MS = 60_000

export type ResponseOrStream = ServerResponse | Http2Stream
type AnyServerResponse = ServerResponse | Http2ServerResponse

/** A body that is being sent to one client. Clients of the same cached response share the bytes. */
type Body = {
  bytes: Uint8Array
  /** How many bytes of the body have left the process. */
  sentBytes: number
  /** When the progress was last measured, and `sentBytes` at that time. */
  measured: { readonly atMs: number; readonly sentBytes: number }
  /** Whether the client has stopped reading, or reads too slowly. */
  isStopped: boolean
  readonly connection: { readonly destroyed: boolean; destroy(): unknown }
}

/** The bodies that are being sent, by response. The order is that in which the responses began. */
type BodyMap = Map<ResponseOrStream, Body>
type SessionSockets = WeakMap<Http2Session, Socket>

export type PendingBodies = {
  /**
   * Options for servers of node:http, node:https and node:http2. With these classes, `response.end(body)` sends
   * a long body in chunks.
   */
  readonly classes: {
    readonly ServerResponse: typeof ServerResponse
    readonly Http1ServerResponse: typeof ServerResponse
    readonly Http2ServerResponse: typeof Http2ServerResponse
  }
  /** The TCP socket of each HTTP/2 session. Only destroying this socket ends a session that cannot write. */
  readonly sockets: SessionSockets
  /** Whether the app has ended the response, but not all of its body has been sent to the client. */
  isPending(response: ResponseOrStream): boolean
  /**
   * Returns the memory that all bodies and their clients need. A body that several clients share counts once.
   */
  bytes(): number
  readonly close: () => void
}

/**
 * Sends response bodies in chunks and limits the memory for them. A chunk is written when the previous chunk has
 * left the process. So a client that stops reading needs little memory besides the body, which all clients of the
 * same cached response share. When the bodies exceed the memory limit, clients that have stopped reading are
 * disconnected. The client whose response began first is disconnected first.
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

/** Writes a body in chunks, and calls `end` with the last chunk. */
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
      // If one chunk is not enough, the client may need the body for a long time, so the body is copied to
      // memory pages of its own. This closure must not refer to `bytes`, so that only the copy stays in memory.
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

  // Over HTTP/2, short bodies are sent in chunks too, because one connection can have many streams.
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
    // A pipelined HTTP/1.1 response that waits for an earlier response emits no event "close", so it is deleted
    // here.
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
 * that its client has disconnected. This function starts reading again.
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
    // The session must be read before destroy(), because a destroyed stream has no session.
    const stream = 'session' in response ? response : undefined
    const session = stream?.session
    // Without this code, Node.js would send NO_ERROR, and the client could take the body for complete (RFC 9113 §8.1).
    stream?.close(constants.NGHTTP2_CANCEL)
    connection.destroy()
    // The streams of one session can belong to different clients behind a proxy. So the session is ended only
    // with its last stream that sends a body.
    if (session && decrease(streams, session) === 0) sockets.get(session)?.destroy()
  }
}

/**
 * Counts the clients of each body, the streams of each HTTP/2 session that send a body, and the memory of all
 * bodies.
 */
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
