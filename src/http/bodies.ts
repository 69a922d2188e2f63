import { ServerResponse } from 'node:http'
import { Http2ServerResponse, type Http2Session, type Http2Stream } from 'node:http2'
import type { Socket } from 'node:net'
import { createPageCopier } from './copy-to-pages.js'

/**
 * What all bodies under way may take: so many bytes, or so many times the longest of them. A client is
 * watched for `stoppedMs` before it can be cut off.
 */
const LIMIT = { bytes: 24 * 1024 * 1024, longest: 4, stoppedMs: 5000, everyMs: 1000 }
// TLS encrypts, and HTTP/2 copies, all that it is handed: a client gets no more than this ahead, a TLS
// record (RFC 8446 §5.1) or a DATA frame (RFC 9113 §6.5.2).
const CHUNK_BYTES = 16 * 1024
// What one connection holds of a body that is no longer need not be counted.
const SHORT_BYTES = 64 * 1024
// Plain HTTP sends the shared bytes themselves, and few writes are faster. How much of a chunk has left
// Node.js does not say, so twelve or so tell how fast a client of a long body is.
const PLAIN_CHUNK_BYTES = 1.25 * 1024 * 1024
const PLAIN_CHUNKS = 12
// What a client costs: its connection with TLS and HTTP/2, and the chunk; measured with 700 of them.
const CLIENT_BYTES = 160 * 1024
// A client that would need longer than this for a whole body has as good as stopped.
const SLOWEST_MS = 60_000

export type AnyResponse = ServerResponse | Http2Stream

/** A body on its way to one client; the bytes are the same for all clients of a snapshot. */
type Body = {
  bytes: Uint8Array
  /** How many of the bytes have left the process. */
  received: number
  watched: { readonly atMs: number; readonly received: number }
  isStopped: boolean
  readonly connection: { readonly destroyed: boolean; destroy(): unknown }
}

export type Bodies = {
  /** Options for node:http, node:https and node:http2: responses that `end` a long body in chunks. */
  readonly classes: {
    readonly ServerResponse: typeof ServerResponse
    readonly Http1ServerResponse: typeof ServerResponse
    readonly Http2ServerResponse: typeof Http2ServerResponse
  }
  /** Carries each session of HTTP/2: a session that cannot write does not end by itself. */
  readonly sockets: WeakMap<Http2Session, Socket>
  /** Whether the whole body was handed over, and the client has not received all of it. */
  isUnderway(response: AnyResponse): boolean
  /** The size of all bodies under way, each counted once, and of what each client costs. */
  bytes(): number
  readonly close: () => void
}

/**
 * Response bodies that clients have not received yet. Each body is written in chunks, the next one when
 * the client has taken the one before: over plain HTTP, TLS and HTTP/2 alike a client that stops reading
 * costs little but the body, which other clients of the snapshot share. When all bodies under way exceed
 * the limit, clients that have stopped are cut off, the oldest first.
 */
export function createBodies(limit = LIMIT): Bodies {
  const underway = new Map<AnyResponse, Body>()
  const sockets: Bodies['sockets'] = new WeakMap()
  const inOwnPages = createPageCopier()

  function send(response: ServerResponse | Http2ServerResponse, bytes: Uint8Array, end: End): void {
    const [key, connection] =
      'stream' in response ? [response.stream, response.stream] : [response, response.req.socket]
    const watched = { atMs: performance.now(), received: 0 }
    const body: Body = { bytes, received: 0, watched, isStopped: false, connection }
    underway.set(key, body)
    key.once('close', () => underway.delete(key))
    const size = chunkSize(response, bytes)
    let written = 0
    const writeNext = (error?: Error | null): void => {
      if (error || connection.destroyed) return
      body.received = written
      // Whoever does not take all at once may pin the bytes for long. `bytes` is not captured here.
      if (written > 0) body.bytes = inOwnPages(body.bytes)
      const chunk = body.bytes.subarray(written, written + size)
      written += chunk.length
      if (written === body.bytes.length) end(chunk)
      else (response as ServerResponse).write(chunk, writeNext)
    }
    writeNext()
  }

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

  // Short bodies too: one connection has many streams.
  class Http2Response extends Http2ServerResponse {
    override end(chunk?: unknown, encoding?: unknown, callback?: unknown): this {
      const end = (last: unknown) => super.end(last as never, encoding as never, callback as never)
      const isBody = chunk instanceof Uint8Array && chunk.length > 0
      if (!isBody || this.stream.destroyed) return end(chunk)
      send(this, chunk, end)
      return this
    }
  }

  function watch(): void {
    const now = performance.now()
    for (const [response, body] of underway) {
      // A response that waits behind another one of its connection has no event "close".
      if (body.connection.destroyed) underway.delete(response)
      if ('session' in response) keepReading(response)
      const { atMs, received } = body.watched
      if (now - atMs < limit.stoppedMs) continue
      const share = (body.received - received) / body.bytes.length
      body.isStopped = share < (now - atMs) / SLOWEST_MS
      body.watched = { atMs: now, received: body.received }
    }
    cutOffStopped()
  }

  function cutOffStopped(): void {
    const { clients, streams, total, longest } = count()
    const most = Math.max(limit.bytes, limit.longest * longest)
    let held = total
    for (const [response, { bytes, isStopped, connection }] of underway) {
      if (held <= most) return
      if (!isStopped) continue
      held -= CLIENT_BYTES + (decrease(clients, bytes) === 0 ? bytes.length : 0)
      // A stream that is destroyed has no session.
      const session = 'session' in response ? response.session : undefined
      connection.destroy()
      // Other streams of the session may be those of other readers, behind a proxy.
      if (session && decrease(streams, session) === 0) sockets.get(session)?.destroy()
    }
  }

  function count() {
    const clients = new Map<Uint8Array, number>()
    const streams = new Map<Http2Session, number>()
    let [total, longest] = [0, 0]
    for (const [response, { bytes }] of underway) {
      const isFirst = increase(clients, bytes) === 1
      total += CLIENT_BYTES + (isFirst ? bytes.length : 0)
      longest = Math.max(longest, bytes.length)
      if ('session' in response && response.session) increase(streams, response.session)
    }
    return { clients, streams, total, longest }
  }

  const timer = setInterval(watch, limit.everyMs).unref()
  return {
    classes: {
      ServerResponse: Http1Response as never,
      Http1ServerResponse: Http1Response as never,
      Http2ServerResponse: Http2Response as never,
    },
    sockets,
    isUnderway: (response) => underway.has(response),
    bytes: () => count().total,
    close: () => {
      clearInterval(timer)
    },
  }
}

/**
 * COMPAT Node.js 22 and earlier: a session that cannot write stops reading, and then does not notice that
 * its client has gone.
 */
function keepReading({ session }: Http2Stream): void {
  const socket = session?.socket as { _handle?: { readStart?: () => unknown } } | undefined
  socket?._handle?.readStart?.()
}

type End = (last: Uint8Array) => unknown

function chunkSize(response: ServerResponse | Http2ServerResponse, { length }: Uint8Array): number {
  if ('stream' in response || 'encrypted' in response.req.socket) return CHUNK_BYTES
  return Math.max(PLAIN_CHUNK_BYTES, Math.ceil(length / PLAIN_CHUNKS))
}

function increase<K>(counts: Map<K, number>, key: K, by = 1): number {
  const count = (counts.get(key) ?? 0) + by
  counts.set(key, count)
  return count
}

const decrease = <K>(counts: Map<K, number>, key: K) => increase(counts, key, -1)
