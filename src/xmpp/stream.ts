// XEP-0114: Jabber Component Protocol, version 1.6.
//
// Each TCP connection has its own Component object of the library. The exporter uses only its dialling, stream header,
// handshake and parser. With its reconnection, time-outs, iq matching and error handling, a stream can hang
// forever, come back after stop(), or end the process.

import { isIP } from 'node:net'
import { component } from '@xmpp/component'
import { LinkError } from '../errors.js'
import { parseService } from './address.js'
import { createInput } from './input.js'
import type { Schedule } from './schedule.js'
import { createStanzaLimits, type StanzaLimits } from './stanza-limits.js'
import { oneLine, type StreamEnd } from './stream-end.js'
import type { Element } from './xml.js'

const NS_COMPONENT = 'jabber:component:accept'
const NS_STREAM = 'http://etherx.jabber.org/streams'

// Characters that XML forbids (XML 1.0 §2.2). ltx escapes markup but sends them unchanged, and the server would close
// the stream.
const FORBIDDEN = /[^\t\n\r\u0020-\uD7FF\uE000-\uFFFD\u{10000}-\u{10FFFF}]/u

export type StreamOptions = {
  readonly service: string
  readonly domain: string
  readonly secret: string
  readonly schedule: Schedule
  /** Called when the server has accepted the login, and `send` works. */
  readonly onOnline: () => void
  /** Called with each complete element after the login, except stream errors. */
  readonly onElement: (element: Element) => void
  /** Called with each chunk of data, after `onElement` for its elements. */
  readonly onData?: (chunk: Buffer) => void
  readonly limits?: Partial<StanzaLimits>
}

// For the address of the host; an unreachable name server costs 5 s of it.
const LOOKUP_MS = 8000
// For the TCP connection; long enough for two lost SYNs.
const CONNECT_MS = 4000
// For the stream header and the handshake together.
const OPEN_MS = 3000

export type Stream = {
  isOnline(): boolean
  /** Returns the number of bytes that wait until the server reads. */
  unsent(): number
  /** Returns the number of complete elements received so far. */
  elements(): number
  /**
   * @throws {LinkError} Not online.
   * @throws {TypeError} The element has a character that XML forbids.
   */
  send(element: Element): void
  /** Closes the stream, and ends it after `graceMs` without an answer. Ends it immediately if it is not online. */
  close(graceMs: number): void
  /** Ends the stream immediately. */
  end(kind: StreamEnd['kind'], condition: string): void
  /** Resolves when the stream has ended and its socket is destroyed. Never rejects. */
  readonly closed: Promise<StreamEnd>
}

type Entity = ReturnType<typeof component>
type Phases = ReturnType<typeof createPhases>

/**
 * Dials the server. The stream ends with its TCP connection, and is not reopened.
 *
 * Whatever the server sends, only `send` throws, and nothing rejects.
 *
 * @throws {TypeError} `service` is no address of a component port.
 */
export function openStream(options: StreamOptions): Stream {
  const { service, domain, schedule } = options
  const address = parseService(service)
  const phases = createPhases(schedule, () => {
    entity.socket?.destroy()
    // Settles the promises of the library, whose timers would stay otherwise.
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
      // open() creates the parser immediately, and then waits for the header of the server.
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
  // A destroyed socket can emit another error after the library has removed its listener.
  entity.socket?.on('error', () => {})

  return {
    isOnline: () => phases.current() === 'online',
    elements: reader.elements,
    unsent: () => entity.socket?.writableLength ?? 0,
    closed: phases.closed,

    send(element) {
      if (phases.current() !== 'online') throw new LinkError('there is no stream')
      const text = element.toString()
      if (FORBIDDEN.test(text)) {
        throw new TypeError(`<${element.name}/> has a character that XML forbids`)
      }
      entity.socket?.write(text)
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
 * The phases of one stream, and the time limit of the current one.
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
    /** Ends the stream after this time. Replaces the previous limit. */
    limit(ms: number): void {
      cancelLimit()
      cancelLimit = schedule(ms, () => {
        end('timeout', phase)
      })
    },
    /** Removes the limit. */
    unlimit(): void {
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

/** Creates the component of the library, without the features that the exporter does not use. */
function createEntity({ service, domain, secret }: StreamOptions, phases: Phases): Entity {
  const entity = component({
    service,
    domain,
    // The library calls this at the stream header of the server. COMPAT @xmpp/component 0.13: it hashes the characters
    // of id and secret as Latin-1. With the UTF-8 bytes of the secret as Latin-1 characters, the digest is right.
    password: async (authenticate) => {
      const root = entity.parser?.root
      if (root?.is('stream', NS_STREAM) !== true || root.attrs['xmlns'] !== NS_COMPONENT) {
        // Immediately, because a stream error of the other protocol can follow, which would mislead.
        phases.end('protocol', 'header', 'it sends the stream header of another protocol')
        return
      }
      // Without an id, a stream error follows.
      if (!root.attrs['id']) return
      phases.enter('handshake')
      await authenticate(Buffer.from(secret).toString('latin1'))
    },
  })
  const onClose = () => {
    phases.end('closed')
  }
  entity.reconnect.stop()
  // The iq matching of the library takes a reply from anyone who guesses the id, stores requests forever, and throws on
  // an address that is no JID.
  entity.removeAllListeners('element')
  // The time-outs of the library never fire: the limits of the phases end the stream before.
  entity.timeout = 600_000
  entity.on('error', phases.fail)
  entity.on('disconnect', onClose)
  // Emitted at </stream:stream>.
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

/** Reads the data of the server into elements, and passes them on. */
function createReader(options: StreamOptions, entity: Entity, phases: Phases) {
  const limits = createStanzaLimits(options.limits)
  const input = createInput()
  let complete = 0
  const isUnfinished = () => limits.isUnfinished() || input.hasTail()

  entity._onParserError = (error) => {
    // Leaves the parser immediately, for the catch in _onData.
    throw error
  }

  entity._onData = (chunk) => {
    // A server can send data after </stream:stream>, when there is no parser any more.
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
    // Otherwise white space between stanzas would accumulate in the root element of the stream.
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
      phases.unlimit()
      // The library waits for this element, too.
      entity.emit('element', element)
      options.onOnline()
    }
  }

  return {
    isUnfinished,
    elements: () => complete,
    /** Starts to measure the stanzas that the parser reads. */
    watchParser(): void {
      if (entity.parser) limits.watch(entity.parser.parser)
    },
  }
}

/**
 * Makes the server send the rest of a stanza. Prosody leaves Nagle's algorithm on and writes 8 KB at a time. Therefore,
 * the rest of a longer stanza waits 44 ms for the delayed acknowledgement of this machine. Data that the exporter sends
 * carries the acknowledgement immediately, and white space between stanzas has no meaning (RFC 6120 §4.6.1).
 */
function hurry({ socket }: Entity): void {
  if (socket?.writableLength === 0) socket.write(' ')
}
