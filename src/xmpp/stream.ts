// XEP-0114: Jabber Component Protocol, version 1.6. The only file that imports @xmpp/*.
//
// One Component object lives for one TCP connection and is never restarted: its own reconnecting,
// time-outs, iq matching and error handling leave streams that hang for ever, come back after
// stop(), or end the process. Only its dialling, stream header, handshake and parser are used.

import { isIP } from 'node:net'
import { component } from '@xmpp/component'
import xml, { type Element } from '@xmpp/xml'
import { LinkError } from '../errors.js'
import { parseService } from './address.js'
import { createInput } from './input.js'
import type { Schedule } from './schedule.js'
import { createStanzaLimits, type StanzaLimits } from './stanza-limits.js'
import { oneLine, type StreamEnd } from './stream-end.js'

export { xml }
export type { Element }

const NS_COMPONENT = 'jabber:component:accept'
const NS_STREAM = 'http://etherx.jabber.org/streams'

// XML 1.0 §2.2: what may stand in a document. ltx escapes markup but lets the rest through, and the
// server closes the stream on it.
const FORBIDDEN = /[^\t\n\r\u0020-\uD7FF\uE000-\uFFFD\u{10000}-\u{10FFFF}]/u

export type StreamOptions = {
  readonly service: string
  readonly domain: string
  readonly secret: string
  readonly schedule: Schedule
  /** The server accepted us; `send` works. */
  readonly onOnline: () => void
  /** Each complete element after that, but stream errors. */
  readonly onElement: (element: Element) => void
  /** Each piece of it, after its elements. */
  readonly onData?: (chunk: Buffer) => void
  readonly limits?: Partial<StanzaLimits>
}

// For an address, of which a dead name server costs 5 s; for a connection, with two lost SYNs; for a stream.
const LOOKUP_MS = 8000
const CONNECT_MS = 4000
const OPEN_MS = 3000

export type Stream = {
  isOnline(): boolean
  /** Bytes that wait until the server reads. */
  unsent(): number
  /** How many elements arrived whole; it stands still when the link is dead. */
  elements(): number
  /**
   * @throws {LinkError} Not online.
   * @throws {TypeError} A character in it is forbidden in XML.
   */
  send(element: Element): void
  /** Ends the stream politely, or after `graceMs` without an answer; at once when it is not online. */
  close(graceMs: number): void
  /** Ends it now. */
  end(kind: StreamEnd['kind'], condition: string): void
  /** Resolves once, when nothing of it is left but a destroyed socket. Never rejects. */
  readonly closed: Promise<StreamEnd>
}

/**
 * Dials the server, and lives until that one TCP connection ends, for whatever reason.
 *
 * Whatever the server sends, nothing is thrown or rejected outside of `send`.
 *
 * @throws {TypeError} `service` is no address of a component port.
 */
export function openStream(options: StreamOptions): Stream {
  const { service, domain, secret, schedule } = options
  const address = parseService(service)
  const limits = createStanzaLimits(options.limits)
  const input = createInput()
  let state: 'connect' | 'header' | 'handshake' | 'online' | 'closing' | 'ended' = 'connect'
  let complete = 0
  let cancelGrace = () => {}
  let resolveClosed: (reason: StreamEnd) => void
  const closed = new Promise<StreamEnd>((resolve) => (resolveClosed = resolve))

  const entity = component({
    service,
    domain,
    // Called at the server's stream header. COMPAT @xmpp/component 0.13: it hashes the characters
    // of id and secret as Latin-1; given UTF-8 bytes as Latin-1 characters, the digest is the server's.
    password: async (authenticate) => {
      const root = entity.parser?.root
      if (root?.is('stream', NS_STREAM) !== true || root.attrs['xmlns'] !== NS_COMPONENT) {
        // At once: a stream error that follows would be of another protocol, and mislead.
        end('protocol', 'header', 'it answers with another stream header')
        return
      }
      // A stream error may come in place of the handshake's salt.
      if (!root.attrs['id']) return
      state = 'handshake'
      await authenticate(Buffer.from(secret).toString('latin1'))
    },
  })
  entity.reconnect.stop()
  // Its iq matching takes a reply from anybody who guesses the id, keeps requests for ever, and
  // throws on an address that is no JID.
  entity.removeAllListeners('element')
  // Its promises are settled by end(); only the watchdog below decides what took too long.
  entity.timeout = 600_000
  entity.socketParameters = () => address
  entity.on('error', fail)
  entity.on('disconnect', () => {
    end('closed')
  })
  // </stream:stream>
  entity.on('close', () => {
    end('closed')
  })
  entity.on('connect', () => {
    if (state === 'ended') return
    state = 'header'
    cancelWatchdog()
    cancelWatchdog = watchdog(OPEN_MS)
    entity.socket?.setNoDelay(true)
    entity.socket?.setKeepAlive(true, 15_000)
    entity.socket?.once('end', () => {
      end('closed')
    })
  })

  entity._onParserError = (error) => {
    // Out of the parser at once, to the catch in _onData.
    throw error
  }

  entity._onData = (chunk) => {
    // A server may go on sending after </stream:stream>, when there is no parser any more.
    if (state === 'ended' || !entity.parser) return
    limits.add(chunk)
    try {
      const text = input.push(chunk)
      if (text !== '') entity.parser.write(text)
      limits.check()
    } catch (error) {
      fail(error)
    }
    options.onData?.(chunk)
    hurry()
  }

  entity._onElement = (element) => {
    if (state === 'ended') return
    complete++
    const isFine = limits.finish()
    // White space between stanzas would pile up in the stream's root element.
    if (entity.parser?.root) entity.parser.root.children = []
    if (!isFine) return
    if (element.is('error', NS_STREAM)) {
      const condition = element.getChildElements().find((child) => child.getName() !== 'text')
      end('refused', condition?.getName() ?? 'undefined-condition', element.getChildText('text'))
    } else if (state === 'online') {
      options.onElement(element)
    } else if (state === 'handshake' && element.getName() === 'handshake') {
      state = 'online'
      cancelWatchdog()
      // The library awaits the next element too.
      entity.emit('element', element)
      options.onOnline()
    }
  }

  /**
   * Prosody leaves Nagle's algorithm on and writes 8 KB at a time, so the rest of a longer stanza
   * waits for our delayed acknowledgement: 44 ms. Data of ours carries it at once, and white space
   * between stanzas means nothing (RFC 6120 §4.6.1).
   */
  function hurry(): void {
    if (state !== 'online' || !isUnfinished()) return
    if (entity.socket?.writableLength === 0) entity.socket.write(' ')
  }

  function isUnfinished(): boolean {
    return limits.isUnfinished() || input.hasTail()
  }

  function fail(error: unknown): void {
    const { code, message } = error as NodeJS.ErrnoException
    if (code) end('network', code, message)
    else end('protocol', '', message)
  }

  function end(kind: StreamEnd['kind'], condition = '', text: string | null = ''): void {
    if (state === 'ended') return
    const isOurs = state === 'closing'
    state = 'ended'
    cancelWatchdog()
    cancelGrace()
    entity.socket?.destroy()
    // What the library still awaits would hold a timer each.
    entity.emit('error', new LinkError('the stream has ended'))
    resolveClosed({ kind: isOurs ? 'stopped' : kind, condition, text: oneLine(text ?? '') })
  }

  function watchdog(ms: number): () => void {
    return schedule(ms, () => {
      end('timeout', state)
    })
  }
  let cancelWatchdog = watchdog(isIP(address.host) === 0 ? LOOKUP_MS : CONNECT_MS)

  entity
    .connect(service)
    .then(() => {
      if (state === 'ended') return
      // It makes the parser at once, and waits for the server's header afterwards.
      const opened = entity.open({ domain })
      if (entity.parser) limits.watch(entity.parser.parser)
      return opened
    })
    .catch((error: unknown) => {
      if (state !== 'online') fail(error)
    })
  entity.socket?.once('lookup', () => {
    if (state !== 'connect') return
    cancelWatchdog()
    cancelWatchdog = watchdog(CONNECT_MS)
  })
  // A destroyed socket may have one more error to tell, when the library no longer listens.
  entity.socket?.on('error', () => {})

  return {
    isOnline: () => state === 'online',
    elements: () => complete,
    unsent: () => entity.socket?.writableLength ?? 0,
    closed,

    send(element) {
      if (state !== 'online') throw new LinkError('there is no stream')
      const text = element.toString()
      if (FORBIDDEN.test(text)) {
        throw new TypeError(`<${element.name}/> has a character that XML forbids`)
      }
      entity.socket?.write(text)
    },

    close(graceMs) {
      if (state !== 'online') {
        end('stopped')
        return
      }
      state = 'closing'
      entity.socket?.write('</stream:stream>')
      cancelGrace = schedule(graceMs, () => {
        end('stopped')
      })
    },

    end(kind, condition) {
      end(kind, condition, isUnfinished() ? 'a stanza stopped half-way' : '')
    },
  }
}
