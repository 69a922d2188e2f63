import { connect, type Socket } from 'node:net'
import type { ConnectionOptions, TLSSocket } from 'node:tls'
import { realTime } from '../../xmpp/schedule.js'
import type { Element } from '../../xmpp/xml.js'
import { connectTls } from './connect-tls.js'
import { createEventWaiter, type EventWaiter } from './event-waiter.js'
import { recognizeStart, START_LENGTH, type ForeignStart } from './recognize-start.js'
import { createStreamReader, type StreamReader } from './stream-reader.js'
import type { Transcript } from './transcript.js'

/**
 * Why a connection cannot continue. `network`: the socket had an error. `closed`: the other side closed the connection.
 * `deadline`: the time is over. `foreign`: the other side does not speak XML. `malformed`: it speaks XML that XMPP
 * forbids, or too much of it.
 */
export type LinkEnd =
  | { readonly kind: 'network'; readonly code: string; readonly message: string }
  | { readonly kind: 'closed' | 'deadline' }
  | { readonly kind: 'foreign'; readonly start: ForeignStart }
  | { readonly kind: 'malformed'; readonly message: string }

/** The methods of a link throw it. */
export class LinkEndError extends Error {
  override name = 'LinkEndError'
  constructor(readonly end: LinkEnd) {
    super(end.kind)
  }
}

/** One TCP connection to an endpoint. All waiting ends at one deadline. The methods are called one after the other. */
export type EndpointLink = {
  connect(address: string, port: number): Promise<void>
  /** Sends the header of a stream. Resolves with the root element of the other side. */
  openStream(header: string): Promise<Element>
  /** Resolves with the next child of the root element. */
  read(): Promise<Element>
  send(text: string): void
  secure(options: ConnectionOptions): Promise<TLSSocket>
  /** The number of bytes that arrived over TCP. */
  countReceived(): number
  /** Whether the other side sent its part of a TLS handshake, so that both sides have keys. */
  hasKeys(): boolean
  /** Closes the stream and the connection, or only the connection if there is no stream. Never rejects. */
  close(): Promise<void>
}

/** How long an orderly end may take. RFC 6120 §4.4 lets the other side close its stream too. */
const CLOSE_MS = 1000

export function createEndpointLink(options: {
  readonly timeoutMs: number
  readonly signal: AbortSignal
  readonly transcript: Transcript
}): EndpointLink {
  const { transcript } = options
  const waiter = createEventWaiter()
  let isClosing = false
  const end = (reason: LinkEnd) => {
    // Most connections end while the check closes them. Nothing waits then, and an error would only cost time.
    if (!isClosing) waiter.fail(new LinkEndError(reason))
  }
  const stream = createStreamState(transcript, end)
  let raw: Socket | undefined
  let socket: Socket | undefined
  let hasKeys = false
  const cancelLimits = limitWaiting(waiter, options, () => {
    end(stream.judgeEnd({ kind: 'deadline' }))
  })

  const onData = (chunk: Buffer) => {
    stream.receive(chunk)
    waiter.notify()
  }
  const onClose = () => {
    end(stream.judgeEnd({ kind: 'closed' }))
  }
  const onError = ({ code = '', message }: NodeJS.ErrnoException) => {
    end({ kind: 'network', code, message })
  }
  const watch = (watched: Socket) => {
    socket = watched
    watched.on('data', onData).on('end', onClose).on('close', onClose).on('error', onError)
  }
  const send = (text: string) => {
    transcript.sent(text)
    socket?.write(text)
  }

  return {
    async connect(address, port) {
      let isConnected = false
      // The address comes from the lookup of the endpoint. A name would be resolved again, to another address.
      raw = connect({ host: address, port, noDelay: true }, () => {
        isConnected = true
        waiter.notify()
      })
      watch(raw)
      await waiter.wait(() => isConnected || undefined)
    },
    async openStream(header) {
      stream.open()
      send(header)
      return await waiter.wait(() => stream.getRoot())
    },
    read: () => waiter.wait(() => stream.take()),
    send,
    async secure(connection) {
      if (!raw) throw new TypeError('not connected')
      let isSecure = false
      stream.leave()
      // The TLS socket reports what happens to the TCP socket, with its own reasons.
      raw.off('data', onData).off('end', onClose).off('close', onClose).off('error', onError)
      raw.on('error', () => undefined)
      const secured = connectTls({ ...connection, socket: raw })
      secured.once('keylog', () => (hasKeys = true))
      secured.once('secureConnect', () => {
        isSecure = true
        waiter.notify()
      })
      watch(secured)
      await waiter.wait(() => isSecure || undefined)
      return secured
    },
    countReceived: () => raw?.bytesRead ?? 0,
    hasKeys: () => hasKeys,
    async close() {
      isClosing = true
      cancelLimits()
      if (socket && stream.isOpen() && !waiter.hasFailed()) await closeStream(socket, stream, send)
      // A TLS socket destroys its TCP socket. Node.js 20 can crash if the TCP socket is destroyed first.
      socket?.destroy()
    },
  }
}

/** Ends all waiting at the deadline, or when the signal is aborted. Returns a function that cancels both. */
function limitWaiting(
  waiter: EventWaiter,
  { timeoutMs, signal }: { readonly timeoutMs: number; readonly signal: AbortSignal },
  onDeadline: () => void,
): () => void {
  const cancelDeadline = realTime(timeoutMs, onDeadline)
  const onAbort = () => {
    waiter.fail(signal.reason as Error)
  }
  signal.addEventListener('abort', onAbort)
  return () => {
    cancelDeadline()
    signal.removeEventListener('abort', onAbort)
  }
}

/** Closes a stream and then its connection. @see RFC 6120 §4.4 */
async function closeStream(
  socket: Socket,
  stream: ReturnType<typeof createStreamState>,
  send: (text: string) => void,
): Promise<void> {
  await new Promise<void>((resolve) => {
    const cancel = realTime(CLOSE_MS, resolve)
    const finish = () => {
      cancel()
      resolve()
    }
    socket.on('data', () => {
      if (stream.hasEnded()) socket.end()
    })
    socket.once('close', finish)
    socket.once('error', finish)
    send('</stream:stream>')
    if (stream.hasEnded()) socket.end()
  })
}

/** Holds what the other side sent on the current stream. */
function createStreamState(transcript: Transcript, end: (reason: LinkEnd) => void) {
  let reader: StreamReader | undefined
  let start = Buffer.alloc(0)
  let isXml = false
  let hasRoot = false

  const nameStart = (found: ForeignStart): LinkEnd => {
    transcript.received(start.toString('latin1'))
    return { kind: 'foreign', start: found }
  }

  const parse = (current: StreamReader, chunk: Buffer) => {
    let failure: LinkEnd | undefined
    try {
      current.push(chunk)
    } catch (error) {
      failure = { kind: 'malformed', message: (error as Error).message }
    }
    // The root can be in the same chunk as the failure.
    const root = current.getRoot()
    if (root && !hasRoot) {
      hasRoot = true
      transcript.received(formatStart(root))
    }
    if (!failure) return
    transcript.received(chunk.toString('utf8', 0, START_LENGTH))
    end(failure)
  }

  return {
    open() {
      reader = createStreamReader()
      start = Buffer.alloc(0)
      isXml = hasRoot = false
    },
    /** Stops reading the stream. Later data belongs to no stream. */
    leave() {
      reader = undefined
    },
    receive(chunk: Buffer) {
      if (!reader) return
      if (isXml) {
        parse(reader, chunk)
        return
      }
      const all = Buffer.concat([start, chunk])
      start = all.subarray(0, START_LENGTH)
      const found = recognizeStart(start, all.length > START_LENGTH)
      if (found === 'xml') {
        isXml = true
        parse(reader, all)
      } else if (found !== 'undecided') end(nameStart(found))
      else if (all.length > START_LENGTH) end({ kind: 'malformed', message: 'only white space' })
    },
    /** Returns a more precise reason for the end of the connection, if what arrived before it has one. */
    judgeEnd(reason: LinkEnd): LinkEnd {
      const found = reader && !isXml ? recognizeStart(start, true) : undefined
      return typeof found === 'object' ? nameStart(found) : reason
    },
    getRoot: () => (hasRoot ? reader?.getRoot() : undefined),
    take() {
      const element = reader?.take()
      if (element) transcript.received(element.toString())
      return element
    },
    isOpen: () => hasRoot && reader !== undefined,
    hasEnded: () => reader?.hasEnded() ?? true,
  }
}

/** Returns the start tag of an element. */
export function formatStart(element: Element): string {
  return element.toString().replace(/\/?>[^]*$/, '>')
}
