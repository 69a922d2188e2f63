// Opens one stream with the Jabber Component Protocol (XEP-0114, version 1.6).
//
// Each TCP connection has its own Component object of the library @xmpp/component. The exporter uses only the dialling,
// the stream header, the handshake and the parser of the library. With the library's reconnection, time-outs, iq
// matching and error handling, a stream could hang forever, come back after stop(), or end the process.

import { isIP } from 'node:net'
import { component } from '@xmpp/component'
import { LinkError } from '../errors.js'
import { parseService } from './address.js'
import { createInput } from './input.js'
import { recognizeNamespace, recognizeProtocol } from './port-protocol.js'
import type { Schedule } from './schedule.js'
import { createStanzaLimits, type StanzaLimits } from './stanza-limits.js'
import { oneLine, type StreamEnd } from './stream-end.js'
import type { Element } from './xml.js'

const NS_COMPONENT = 'jabber:component:accept'
const NS_STREAM = 'http://etherx.jabber.org/streams'

// Characters that XML forbids (XML 1.0 §2.2). The serializer, ltx, does not reject them, and a server that receives
// them closes the stream.
const FORBIDDEN = /[^\t\n\r\u0020-\uD7FF\uE000-\uFFFD\u{10000}-\u{10FFFF}]/u

export type StreamOptions = {
  readonly service: string
  readonly domain: string
  readonly secret: string
  readonly schedule: Schedule
  /** Called when the server has accepted the login. From then on, `send` works. */
  readonly onOnline: () => void
  /**
   * Called with each complete element after the login, except stream errors and elements that are nested too deeply.
   */
  readonly onElement: (element: Element) => void
  /** Called with each chunk of data, after `onElement` was called for each element that the chunk completes. */
  readonly onData?: (chunk: Buffer) => void
  readonly limits?: Partial<StanzaLimits>
}

// The time limit of the DNS lookup. If the first name server is unreachable, the system tries the second one after 5 s.
const LOOKUP_MS = 8000
// The time limit of the TCP connection. It is long enough for two lost SYN packets.
const CONNECT_MS = 4000
// The time limit of the stream header and the handshake together.
const OPEN_MS = 3000

// The first characters that are searched for the beginning of another protocol, for example `220 mail.example.com FTP`.
const MAX_START = 200

export type Stream = {
  isOnline(): boolean
  /** Returns the number of bytes that wait in this process until the server reads. */
  unsent(): number
  /** Returns the number of complete elements received so far. */
  elements(): number
  /**
   * Sends an element to the server.
   *
   * @throws {LinkError} The stream is not online.
   * @throws {TypeError} The element has a character that XML forbids.
   */
  send(element: Element): void
  /**
   * Closes an online stream, and waits up to `graceMs` milliseconds for the server to close it too. A stream that is
   * not online ends immediately.
   */
  close(graceMs: number): void
  /** Ends the stream immediately. */
  end(kind: StreamEnd['kind'], condition: string): void
  /** Resolves when the stream has ended and its socket is destroyed. Never rejects. */
  readonly closed: Promise<StreamEnd>
}

type Entity = ReturnType<typeof component>
type Phases = ReturnType<typeof createPhases>

/**
 * Connects to the server and logs in. When the stream has ended, it is not opened again.
 *
 * Data from the server never causes an exception or a rejection. Malformed data ends the stream.
 *
 * @throws {TypeError} `service` is not an address `xmpp://host[:port]`.
 */
export function openStream(options: StreamOptions): Stream {
  const { service, domain, schedule } = options
  const address = parseService(service)
  const phases = createPhases(schedule, () => {
    entity.socket?.destroy()
    // This event settles the promises of the library. Otherwise their timers would remain.
    entity.emit('error', new LinkError('the stream has ended'))
  })
  const entity = createEntity(options, phases)
  entity.socketParameters = () => address
  const reader = createReader(options, entity, phases)
  phases.limit(isIP(address.host) === 0 ? LOOKUP_MS : CONNECT_MS)

  entity
    .connect(service)
    .then(() => {
      if (phases.current() === 'ended') return
      // open() creates the parser before it returns. Its promise waits for the stream header of the server.
      const opened = entity.open({ domain })
      reader.watchParser()
      return opened
    })
    .catch((error: unknown) => {
      if (phases.current() !== 'online') phases.fail(error)
    })
  entity.socket?.once('lookup', () => {
    if (phases.current() === 'connect') phases.limit(CONNECT_MS)
  })
  // A destroyed socket can emit an error after the library has removed its listener. Without this listener, the error
  // would end the process.
  entity.socket?.on('error', () => {})

  return {
    isOnline: () => phases.current() === 'online',
    elements: reader.elements,
    unsent: () => entity.socket?.writableLength ?? 0,
    closed: phases.closed,

    send(element) {
      if (phases.current() !== 'online') throw new LinkError('the stream is not online')
      const text = element.toString()
      if (FORBIDDEN.test(text)) {
        throw new TypeError(`<${element.name}/> has a character that XML forbids`)
      }
      writeLater(entity, text)
    },

    close(graceMs) {
      if (phases.current() === 'online') {
        phases.enter('closing')
        entity.socket?.write('</stream:stream>')
        phases.limit(graceMs)
      } else phases.end('stopped')
    },

    end(kind, condition) {
      phases.end(kind, condition, reader.isUnfinished() ? 'the last stanza is incomplete' : '')
    },
  }
}

type Phase = 'connect' | 'header' | 'handshake' | 'online' | 'closing' | 'ended'

/**
 * Tracks the phase of one stream, and ends the stream if the time limit of the phase has passed.
 *
 * @param onEnd Called once, when the stream ends.
 */
function createPhases(schedule: Schedule, onEnd: () => void) {
  let phase: Phase = 'connect'
  let cancelLimit = () => {}
  let resolveClosed: (reason: StreamEnd) => void
  const closed = new Promise<StreamEnd>((resolve) => (resolveClosed = resolve))

  function end(kind: StreamEnd['kind'], condition = '', text: string | null = ''): void {
    if (phase === 'ended') return
    const isClosing = phase === 'closing'
    phase = 'ended'
    cancelLimit()
    onEnd()
    resolveClosed({ kind: isClosing ? 'stopped' : kind, condition, text: oneLine(text ?? '') })
  }

  return {
    closed,
    current: () => phase,
    enter(next: Phase): void {
      phase = next
    },
    /** Ends the stream after `ms` milliseconds. This time limit replaces the previous time limit. */
    limit(ms: number): void {
      cancelLimit()
      cancelLimit = schedule(ms, () => {
        end('timeout', phase)
      })
    },
    removeLimit(): void {
      cancelLimit()
    },
    end,
    /** Ends the stream because of an error of the socket, the library or the parser. */
    fail: (error: unknown): void => {
      const { code, message } = error as NodeJS.ErrnoException
      if (code) end('network', code, message)
      else end('protocol', '', message)
    },
  }
}

/** Creates a Component object of the library, and turns off the features that the exporter does not use. */
function createEntity({ service, domain, secret }: StreamOptions, phases: Phases): Entity {
  const entity = component({
    service,
    domain,
    // The library calls this function when the stream header of the server has arrived. COMPAT @xmpp/component 0.13:
    // The library hashes the secret as Latin-1, and Prosody hashes the secret as UTF-8. Therefore, this function passes
    // a text whose Latin-1 bytes are the UTF-8 bytes of the secret.
    password: async (authenticate) => {
      const root = entity.parser?.root
      const namespace = root?.is('stream', NS_STREAM) ? root.attrs['xmlns'] : undefined
      if (namespace !== NS_COMPONENT) {
        // The stream ends before the stream error of the other protocol arrives, because its advice would be wrong.
        const found = recognizeNamespace(namespace)
        phases.end('protocol', found ?? 'header', found ? '' : 'the stream header is unknown')
        return
      }
      // A stream header without an id means that the server rejects the stream. The stream error follows.
      if (!root?.attrs['id']) return
      phases.enter('handshake')
      await authenticate(Buffer.from(secret).toString('latin1'))
    },
  })
  const onClose = () => {
    phases.end('closed')
  }
  entity.reconnect.stop()
  // This removes the iq matching of the library. It accepts a reply from any sender that knows the id, stores requests
  // forever, and throws if an address is not a JID.
  entity.removeAllListeners('element')
  // The time-outs of the library are so long that they never fire: the time limits of the phases end the stream
  // earlier.
  entity.timeout = 600_000
  entity.on('error', phases.fail)
  entity.on('disconnect', onClose)
  // The library emits `close` when the server has sent </stream:stream>.
  entity.on('close', onClose)
  entity.on('connect', () => {
    if (phases.current() === 'ended') return
    phases.enter('header')
    phases.limit(OPEN_MS)
    entity.socket?.setNoDelay(true)
    entity.socket?.setKeepAlive(true, 15_000)
    entity.socket?.once('end', onClose)
  })
  return entity
}

/** Parses the data of the server, and passes each complete element on. */
function createReader(options: StreamOptions, entity: Entity, phases: Phases) {
  const limits = createStanzaLimits(options.limits)
  const input = createInput()
  let complete = 0
  // The first characters that arrived, which can show that this port has another protocol.
  let start = ''
  const isUnfinished = () => limits.isUnfinished() || input.hasTail()

  entity._onParserError = (error) => {
    // The exception leaves the parser immediately, and `_onData` catches it.
    throw error
  }

  entity._onData = (chunk) => {
    if (phases.current() === 'header' && start.length < MAX_START) {
      start += chunk.toString('latin1', 0, MAX_START)
      const found = recognizeProtocol(start)
      if (found) phases.end('protocol', found)
    }
    // A server can send data after </stream:stream>, when the library has removed the parser.
    if (phases.current() === 'ended' || !entity.parser) return
    limits.add(chunk)
    try {
      const text = input.push(chunk)
      if (text !== '') entity.parser.write(text)
      limits.check()
    } catch (error) {
      phases.fail(error)
    }
    options.onData?.(chunk)
    if (phases.current() === 'online' && isUnfinished()) hurry(entity)
  }

  entity._onElement = (element) => {
    if (phases.current() === 'ended') return
    complete++
    const isAccepted = limits.finish()
    // White space between stanzas becomes a child of the stream's root element. It would accumulate in memory.
    if (entity.parser?.root) entity.parser.root.children = []
    if (isAccepted) handle(element)
  }

  function handle(element: Element): void {
    if (element.is('error', NS_STREAM)) {
      const condition = element.getChildElements().find((child) => child.getName() !== 'text')
      const name = condition?.getName() ?? 'undefined-condition'
      phases.end('refused', name, element.getChildText('text'))
    } else if (phases.current() === 'online') {
      options.onElement(element)
    } else if (phases.current() === 'handshake' && element.getName() === 'handshake') {
      phases.enter('online')
      phases.removeLimit()
      // The login function of the library waits for the `<handshake/>` element, too.
      entity.emit('element', element)
      options.onOnline()
    }
  }

  return {
    isUnfinished,
    elements: () => complete,
    /** Starts to apply the stanza limits to the current parser. */
    watchParser(): void {
      if (entity.parser) limits.watch(entity.parser.parser)
    },
  }
}

/**
 * Writes a text to the server, together with all other texts of this turn of the event loop. Then Prosody reads and
 * answers all requests of a collection at once, which takes less of its time than one after the other. It also answers
 * them in one write: with Nagle's algorithm, the second answer would wait up to 44 ms for the TCP acknowledgement of the
 * first one.
 */
function writeLater({ socket }: Entity, text: string): void {
  if (!socket) return
  if (socket.writableCorked === 0) {
    socket.cork()
    setImmediate(() => {
      socket.uncork()
    })
  }
  socket.write(text)
}

/**
 * Sends a space, so that the server sends the rest of a stanza without a delay. Prosody leaves Nagle's algorithm on and
 * writes 8 KB at a time. Therefore, it sends the rest of a longer stanza only after a TCP acknowledgement, which Linux
 * delays by 44 ms. The space carries the acknowledgement immediately. White space between stanzas is allowed and has no
 * meaning (RFC 6120 §11.7).
 */
function hurry({ socket }: Entity): void {
  if (socket?.writableLength === 0) socket.write(' ')
}
