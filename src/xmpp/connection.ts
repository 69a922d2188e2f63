import { LinkError } from '../errors.js'
import type { Log } from '../log/log.js'
import { parseService } from './address.js'
import { createBackoff } from './backoff.js'
import { createExchanges } from './exchanges.js'
import { createIncomingHandler } from './incoming.js'
import { createLinkStatus } from './link-status.js'
import { realTime, type Schedule } from './schedule.js'
import type { Command } from './service.js'
import { openStream, type Stream, type StreamOptions } from './stream.js'
import type { Element } from './xml.js'

const STOP_GRACE_MS = 500

export type Connection = {
  readonly domain: string
  /** Connects, and reconnects after each failure, until `stop`. */
  start(): void
  /** Closes the stream within a second. The connection cannot be started again. */
  stop(): Promise<void>
  isConnected(): boolean
  /** Returns why there is no stream, and what to change; undefined while there is one or before the first failure. */
  problem(): string | undefined
  /** Returns the number of times the stream was established. */
  connects(): number
  /** Passes each stanza as text, without the handshake, until the returned function is called. */
  trace(watch: Watch): () => void
  /**
   * Sends an iq with one child, and returns the whole reply.
   *
   * Only a reply from `to` is accepted. The address is compared as a string, so write the JID as the server does, in
   * lower case. Another entity can know the id, but the server does not let it forge the address (RFC 6120 §8.1.2.1).
   *
   * @param options.to Default: the component's domain, where modules of the server answer before the exporter.
   * @param options.timeoutMs Milliseconds to wait for the reply. If no element arrives for `silenceMs` or this time,
   *   whichever is longer, the exporter ends the stream and reconnects.
   * @throws {LinkError} There is no stream, it was lost before the reply, or `stop` was called.
   * @throws {TimeoutError} The reply did not arrive in time. A later reply is dropped.
   * @throws {StanzaError} The reply is an error.
   * @throws {NotHandledError} The request came back to the exporter, because no module of the server handles it.
   */
  request(
    type: 'get' | 'set',
    child: Element,
    options: { to?: string; timeoutMs: number },
  ): Promise<Element>
}

export type Watch = (way: 'sent' | 'received', stanza: string) => void

export type ConnectionOptions = {
  /** `xmpp://host[:port]` */
  readonly service: string
  readonly domain: string
  readonly secret: string
  readonly version: string
  readonly log: Log
  /** The commands that disco#items lists for the component's domain. Default: none. */
  readonly commands?: readonly Command[]
  /** Called each time the stream is established. */
  readonly onOnline?: () => void
  /**
   * Minimum time without any element, in milliseconds, after which a stream with an unanswered request is ended. A
   * request with a shorter time-out does not shorten it, because a busy Prosody can be silent for seconds.
   * Default: 5000.
   */
  readonly silenceMs?: number
  readonly limits?: StreamOptions['limits']
  /** Timers; replaced in tests, like `now` and `random`. */
  readonly schedule?: Schedule
  readonly now?: () => number
  readonly random?: () => number
}

/**
 * Creates the stream of a component to its server. It reconnects until `stop`.
 *
 * @throws {TypeError} `service` is no address of a component port.
 */
export function createConnection(options: ConnectionOptions): Connection {
  const { service, domain, secret, version, log, commands = [], silenceMs = 5000 } = options
  const { schedule = realTime, now = () => performance.now(), random = Math.random } = options
  parseService(service)

  const backoff = createBackoff({ now, random })
  const status = createLinkStatus({ service, domain, secret, log, now })
  const exchanges = createExchanges({ domain, schedule, silenceMs, send })
  const { requests } = exchanges
  const handle = createIncomingHandler({ domain, version, commands }, requests, log)
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
        status.online()
        options.onOnline?.()
      },
      onElement(element) {
        watches.show('received', element)
        handle(element, stream)
      },
      onData(chunk) {
        if (stream) exchanges.hear(stream, chunk)
      },
    })
    void stream.closed.then((end) => {
      stream = undefined
      exchanges.dropAll(new LinkError(`the stream to ${service} was lost`))
      if (isStopped) return
      const onlineMs = status.ended(end)
      cancelRedial = schedule(backoff.next(end, onlineMs), dial)
    })
  }

  function send(iq: Element): void {
    stream?.send(iq)
    watches.show('sent', iq)
  }

  return {
    domain,
    isConnected: () => stream?.isOnline() === true,
    problem: status.problem,
    connects: status.connects,
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

    request(type, child, { to = domain, timeoutMs }) {
      return new Promise((resolve, reject) => {
        const current = stream
        if (isStopped || !current?.isOnline()) {
          const problem = status.problem()
          throw new LinkError(`no stream to ${service}${problem ? `: ${problem}` : ''}`)
        }
        exchanges.begin(current, { type, child, to, timeoutMs }, (outcome) => {
          if (outcome instanceof Error) reject(outcome)
          else resolve(outcome)
        })
      })
    },
  }
}

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
