import { LinkError, NotHandledError, TimeoutError } from '../errors.js'
import type { Log } from '../log/log.js'
import { createProblemLog } from '../log/log-limit.js'
import { parseService } from './address.js'
import { explain } from './advice.js'
import { createBackoff } from './backoff.js'
import { NS_PING } from './namespaces.js'
import { createRequests } from './requests.js'
import { realTime, type Schedule } from './schedule.js'
import { createSilenceWatch } from './silence.js'
import { answerIq, type Command } from './service.js'
import { readError } from './stanza-error.js'
import { openStream, type Stream, type StreamOptions } from './stream.js'
import { xml, type Element } from './xml.js'
import { kindOf, type StreamEnd } from './stream-end.js'

const STOP_GRACE_MS = 500
// Who asks faster than the server takes our answers gets none: they would pile up here.
const MAX_UNSENT = 256 * 1024
// Of our own requests: one that talks and never reads would have us keep them all.
const MAX_UNREAD = 4 * 1024 * 1024

export type Connection = {
  readonly domain: string
  /** Dials, and dials again after each failure, until `stop`. */
  start(): void
  /** Ends the stream politely, within a second; afterwards nothing comes online again. */
  stop(): Promise<void>
  isConnected(): boolean
  /** Why there is no stream, with what to change. */
  problem(): string | undefined
  /** Streams that came online so far. */
  connects(): number
  /** Shows each stanza as text until the returned function is called; the handshake is none. */
  trace(watch: Watch): () => void
  /**
   * Sends an iq with one child and returns the server's whole reply.
   *
   * Only a reply from `to` counts, compared as strings: give a JID as the server writes it, in lower
   * case. Others may know our ids, they cannot have the server forge that address. (RFC 6120 §8.1.2.1)
   *
   * @param options.to Default: our own domain, where the server's modules answer before us.
   * @param options.timeoutMs Milliseconds to wait. When nothing at all arrived meanwhile the link
   *   is taken for dead, and dialled again.
   * @throws {LinkError} No stream, or it was lost meanwhile, or `stop` was called.
   * @throws {TimeoutError} No reply in time; a later one is dropped.
   * @throws {StanzaError} The reply is an error.
   * @throws {NotHandledError} The request came back to us: nobody at our domain handles it.
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
  /** What disco#items lists for our domain. Default: nothing. */
  readonly commands?: readonly Command[]
  /** Each time that a stream came online. */
  readonly onOnline?: () => void
  /**
   * How long a stream that owes us an answer may deliver nothing before it is dead, milliseconds,
   * however impatient the request was: a busy Prosody can be silent for seconds. Default: 5000.
   */
  readonly silenceMs?: number
  readonly limits?: StreamOptions['limits']
  /** Time and chance, for tests. */
  readonly schedule?: Schedule
  readonly now?: () => number
  readonly random?: () => number
}

/**
 * A component's stream to its server, kept up for as long as the process runs.
 *
 * @throws {TypeError} `service` is no address of a component port.
 */
export function createConnection(options: ConnectionOptions): Connection {
  const { service, domain, secret, version, log, commands = [], silenceMs = 5000 } = options
  const { schedule = realTime, now = () => performance.now(), random = Math.random } = options
  parseService(service)

  const backoff = createBackoff({ now, random })
  const problems = createProblemLog(log, now)
  const requests = createRequests()
  const watches = new Set<Watch>()
  const silence = createSilenceWatch({ schedule, probe })
  let stream: Stream | undefined
  let isStarted = false
  let isStopped = false
  let cancelRedial = () => {}
  let connects = 0
  let problem: string | undefined
  let lostAtMs: number | undefined

  function dial(): void {
    let onlineAtMs: number | undefined
    stream = openStream({
      service,
      domain,
      secret,
      schedule,
      ...(options.limits && { limits: options.limits }),
      onOnline() {
        onlineAtMs = now()
        connects++
        const away = lostAtMs === undefined ? {} : { away_seconds: seconds(onlineAtMs - lostAtMs) }
        const line = `connected to Prosody as ${domain}`
        if (problem === undefined) log.info(line, { service })
        else problems.recovered(line, { service, ...away })
        problem = undefined
        options.onOnline?.()
      },
      onElement: receive,
      onData(chunk) {
        if (stream) silence.hear(stream, chunk)
      },
    })
    void stream.closed.then((end) => {
      stream = undefined
      dropAll(new LinkError(`the stream to ${service} was lost`))
      if (!isStopped) redial(end, onlineAtMs)
    })
  }

  function redial(end: StreamEnd, onlineAtMs: number | undefined): void {
    const wasOnline = onlineAtMs !== undefined
    if (wasOnline) lostAtMs = now()
    const line = explain(end, { service, domain, secret, wasOnline })
    const delayMs = backoff.next(end, wasOnline ? now() - onlineAtMs : undefined)
    const fields = { service, reason: end.kind, ...(end.condition && { condition: end.condition }) }
    const isWritten = problems.problem({
      kind: kindOf(end, wasOnline),
      level: wasOnline ? 'warn' : 'error',
      message: wasOnline ? `lost the stream: ${line}` : line,
      fields,
      detail: line,
    })
    if (!isWritten) log.debug('still no stream', { ...fields, problem: line })
    problem = line
    cancelRedial = schedule(delayMs, dial)
  }

  function dropAll(error: LinkError): void {
    silence.stop()
    requests.settleAll(error)
  }

  function show(way: 'sent' | 'received', stanza: Element): void {
    for (const see of watches) see(way, stanza.toString())
  }

  function receive(element: Element): void {
    show('received', element)
    // Presence and messages need no answer (RFC 6120 §8.2.1, §8.2.2).
    if (element.getName() !== 'iq') return
    const { from, type, id = '' } = element.attrs
    const request = requests.get(id)
    if (type === 'result' || type === 'error') {
      if (request?.to === from) request?.settle(type === 'error' ? readError(element) : element)
      return
    }
    // Nobody but us speaks for our domain: this is our own request, which no module of the server
    // took. To answer it would be to take our own `service-unavailable` for the server's.
    if (from === domain) {
      if (request?.to === domain) {
        request.settle(new NotHandledError(`nothing on the server handles requests to ${domain}`))
      }
      return
    }
    if (stream && stream.unsent() > MAX_UNSENT) return
    const answer = answerIq(element, { domain, version, commands })
    try {
      if (answer) stream?.send(answer)
    } catch (error) {
      // What we would have to repeat, an id, is no XML: the parser lets control characters through.
      log.debug('an iq cannot be answered', { reason: (error as Error).message })
    }
  }

  /**
   * A ping to our own domain, which comes back to us at the latest. Where an answer was lost as a whole
   * the ping's comes first: what our domain is asked the server answers in order.
   */
  function probe(): string {
    const id = requests.addProbe(domain)
    send(xml('iq', { type: 'get', id, from: domain, to: domain }, xml('ping', { xmlns: NS_PING })))
    return id
  }

  function send(iq: Element): void {
    stream?.send(iq)
    show('sent', iq)
  }

  return {
    domain,
    isConnected: () => stream?.isOnline() === true,
    problem: () => problem,
    connects: () => connects,
    trace(watch) {
      watches.add(watch)
      return () => watches.delete(watch)
    },

    start() {
      if (isStarted || isStopped) return
      isStarted = true
      dial()
    },

    async stop() {
      isStopped = true
      cancelRedial()
      dropAll(new LinkError('the exporter is stopping'))
      stream?.close(STOP_GRACE_MS)
      await stream?.closed
    },

    request(type, child, { to = domain, timeoutMs }) {
      return new Promise((resolve, reject) => {
        const current = stream
        if (isStopped || !current?.isOnline()) {
          throw new LinkError(`no stream to ${service}${problem ? `: ${problem}` : ''}`)
        }
        const id = requests.add(to, (outcome) => {
          cancelTimeout()
          cancelWatch()
          if (outcome instanceof Error) reject(outcome)
          else resolve(outcome)
        })
        const cancelTimeout = schedule(timeoutMs, () => {
          requests.forget(id)
          reject(new TimeoutError(`no reply from ${to} within ${Math.round(timeoutMs)} ms`))
        })
        const cancelWatch = silence.watch(current, Math.max(timeoutMs, silenceMs))
        try {
          send(xml('iq', { type, id, from: domain, to }, child))
          if (current.unsent() > MAX_UNREAD) current.end('timeout', 'unread')
        } catch (error) {
          requests.get(id)?.settle(error as Error)
        }
      })
    },
  }
}

function seconds(ms: number): number {
  return Math.round(ms / 100) / 10
}
