import { LinkError } from '../errors.js'
import type { Log } from '../log/log.js'
import { parseService } from './address.js'
import { createBackoff } from './backoff.js'
import { createExchanges } from './exchanges.js'
import { createIncomingHandler } from './incoming.js'
import { createLinkStatus } from './link-status.js'
import { realTime, type Schedule } from './schedule.js'
import type { Command } from './service.js'
import type { StreamEnd } from './stream-end.js'
import { openStream, type Stream, type StreamOptions } from './stream.js'
import type { Element } from './xml.js'

const STOP_GRACE_MS = 500

export type Connection = {
  readonly domain: string
  /** Connects to the server, and reconnects after each failure, until `stop` is called. */
  start(): void
  /** Closes the stream within a second. Afterwards, `start` has no effect. */
  stop(): Promise<void>
  isConnected(): boolean
  /**
   * Returns one line that says why the exporter is not connected, and what the operator can change. Returns undefined
   * while it is connected and before the first failure.
   */
  problem(): string | undefined
  /** Returns why the last stream ended. Returns undefined while the exporter is connected and before the first failure. */
  lastEnd(): StreamEnd | undefined
  /** Returns the number of logins that have succeeded. */
  connects(): number
  /**
   * Returns how often, in the last five minutes, Prosody ended an online stream because another program logged in as the
   * same component (`component_conflict_resolve = "kick_old"`). Once is normal after a restart of the exporter. More
   * often means that two exporters use the component.
   */
  evictions(): number
  /**
   * Calls `watch` with the text of each request that the exporter sends from the component's domain, and of each stanza to
   * this domain that it receives and accepts after the login. Stanzas of other addresses are not shown: messages of
   * people, and codes with which they confirm what they ask. This ends when the returned function is called.
   */
  trace(watch: Watch): () => void
  /**
   * Sends an iq with one child element, and returns the whole reply stanza.
   *
   * A reply is accepted only if its sender is equal to `to`, as a string. Therefore, write `to` as the server does, in
   * lower case. Another entity can know the id of a request, but the server does not let this entity forge its own
   * address (RFC 6120 §8.1.2.1).
   *
   * @param options.from The sender: the component's domain, which is the default, or an address of this domain.
   * @param options.to The recipient of the request. Default: the component's own domain, to which modules of the server
   *   reply before the request reaches the exporter.
   * @param options.timeoutMs Milliseconds to wait for the reply. If no element arrives for this time, and for at least
   *   `ConnectionOptions.silenceMs`, the exporter also ends the stream and reconnects.
   * @throws {LinkError} The exporter is not connected, the stream ended before the reply, or `stop` was called.
   *   TypeError if the request has a character that XML forbids.
   * @throws {TimeoutError} The reply did not arrive in time. A reply that arrives later is dropped.
   * @throws {StanzaError} The reply is an error.
   * @throws {NotHandledError} The request came back to the exporter, because no module of the server handles it.
   */
  request(
    type: 'get' | 'set',
    child: Element,
    options: { from?: string; to?: string; timeoutMs: number },
  ): Promise<Element>
  /**
   * Sends a stanza that needs no reply, for example a message. The server has processed it when a later request is
   * answered, because it processes the stanzas of a stream in order (RFC 6120 §10.1).
   *
   * @throws {LinkError} The exporter is not connected.
   * @throws {TypeError} The stanza has a character that XML forbids.
   */
  send(stanza: Element): void
}

export type Watch = (way: 'sent' | 'received', stanza: string) => void

export type ConnectionOptions = {
  /** `xmpp://host[:port]` */
  readonly service: string
  readonly domain: string
  readonly secret: string
  readonly version: string
  readonly log: Log
  /** The ad-hoc commands that service discovery lists for the component's domain. Default: none. */
  readonly commands?: readonly Command[]
  /**
   * Called with each message, presence and request that the server delivers, except for requests that the exporter sent
   * to itself. If it returns true, the exporter does not handle the stanza itself. Default: the exporter ignores messages
   * and presence, and answers requests to the component's domain.
   */
  readonly onStanza?: (stanza: Element) => boolean
  /** Called after each login that succeeded. */
  readonly onOnline?: () => void
  /** Called when a stream or an attempt to connect has ended, also because of `stop`. */
  readonly onLost?: () => void
  /**
   * If no element arrives for this many milliseconds after a request whose reply is missing, the exporter ends the
   * stream. A longer time-out of the request extends this time. A shorter time-out does not reduce it, because a busy
   * Prosody can be silent for seconds. Default: 5000.
   */
  readonly silenceMs?: number
  readonly limits?: StreamOptions['limits']
  /** Starts timers. Tests replace this function, `now` and `random`. */
  readonly schedule?: Schedule
  readonly now?: () => number
  readonly random?: () => number
}

/**
 * Creates the connection of a component to its server. Call `start` to connect.
 *
 * @throws {TypeError} `service` is not an address `xmpp://host[:port]`.
 */
export function createConnection(options: ConnectionOptions): Connection {
  const { service, domain, secret, version, log, commands = [], silenceMs = 5000 } = options
  const { schedule = realTime, now = () => performance.now(), random = Math.random } = options
  const { onStanza = () => false } = options
  parseService(service)

  const backoff = createBackoff({ now, random })
  const { online, ended, ...queries } = createLinkStatus({ service, domain, secret, log, now })
  const exchanges = createExchanges({ domain, schedule, silenceMs, send })
  const { requests } = exchanges
  const handle = createIncomingHandler({ domain, version, commands, onStanza }, requests, log)
  const watches = createWatches()
  let stream: Stream | undefined
  let isStarted = false
  let isStopped = false
  let cancelRedial = () => {}

  function dial(): void {
    stream = openStream({
      service,
      domain,
      secret,
      schedule,
      ...(options.limits && { limits: options.limits }),
      onOnline() {
        online()
        options.onOnline?.()
      },
      onElement(element) {
        if (element.attrs['to'] === domain) watches.show('received', element)
        handle(element, stream)
      },
      onData(chunk) {
        if (stream) exchanges.hear(stream, chunk)
      },
    })
    void stream.closed.then((end) => {
      stream = undefined
      exchanges.dropAll(new LinkError(`the stream to ${service} was lost`))
      if (!isStopped) {
        const onlineMs = ended(end)
        cancelRedial = schedule(backoff.next(end, onlineMs), dial)
      }
      options.onLost?.()
    })
  }

  function send(stanza: Element): void {
    stream?.send(stanza)
    if (stanza.attrs['from'] === domain) watches.show('sent', stanza)
  }

  function takeOnlineStream(): Stream {
    if (stream?.isOnline()) return stream
    throw createNoStreamError(service, queries.problem())
  }

  return {
    domain,
    isConnected: () => stream?.isOnline() === true,
    ...queries,
    trace: watches.add,

    start() {
      if (isStarted || isStopped) return
      isStarted = true
      dial()
    },

    async stop() {
      isStopped = true
      cancelRedial()
      exchanges.dropAll(new LinkError('the exporter is stopping'))
      stream?.close(STOP_GRACE_MS)
      await stream?.closed
    },

    send(stanza) {
      takeOnlineStream()
      send(stanza)
    },

    async request(type, child, { from = domain, to = domain, timeoutMs }) {
      return exchanges.exchange(takeOnlineStream(), { type, child, from, to, timeoutMs })
    },
  }
}

const createNoStreamError = (service: string, problem: string | undefined) =>
  new LinkError(`no stream to ${service}${problem ? `: ${problem}` : ''}`)

function createWatches() {
  const watches = new Set<Watch>()
  return {
    add: (watch: Watch): (() => void) => {
      watches.add(watch)
      return () => watches.delete(watch)
    },
    show: (way: 'sent' | 'received', stanza: Element): void => {
      for (const watch of watches) watch(way, stanza.toString())
    },
  }
}
