import { TimeoutError } from '../errors.js'
import { NS_PING } from './namespaces.js'
import { createRequests } from './requests.js'
import type { Schedule } from './schedule.js'
import { createSilenceWatch } from './silence.js'
import type { Stream } from './stream.js'
import { xml, type Element } from './xml.js'

// If the server does not read, requests accumulate in the memory of the exporter. Above this limit, the stream ends.
const MAX_UNREAD_BYTES = 4 * 1024 * 1024

export type ExchangesOptions = {
  readonly domain: string
  readonly schedule: Schedule
  /** See `ConnectionOptions`. */
  readonly silenceMs: number
  readonly send: (iq: Element) => void
}

type RequestToSend = {
  readonly type: 'get' | 'set'
  readonly child: Element
  readonly from: string
  readonly to: string
  readonly timeoutMs: number
}

/**
 * Sends the requests of the exporter, and matches replies with them. If the server is silent although a request waits
 * for its reply, the stream ends.
 */
export function createExchanges({ domain, schedule, silenceMs, send }: ExchangesOptions) {
  const requests = createRequests()
  const silence = createSilenceWatch({ schedule, probe })

  /**
   * Sends a ping to the component's own domain, and returns its id. If no module of the server handles the ping, the
   * server sends the ping itself to the exporter. The server handles requests to this domain in order. Therefore, if a
   * reply to the ping or the ping itself arrives, the missing replies to earlier requests were lost.
   */
  function probe(): string {
    const id = requests.addProbe(domain)
    send(xml('iq', { type: 'get', id, from: domain, to: domain }, xml('ping', { xmlns: NS_PING })))
    return id
  }

  /** Sends a request, and calls `onOutcome` once, with the reply or an error. */
  function begin(
    current: Stream,
    { type, child, from, to, timeoutMs }: RequestToSend,
    onOutcome: (outcome: Element | Error) => void,
  ): void {
    const id = requests.add(to, (outcome) => {
      cancelTimeout()
      cancelWatch()
      onOutcome(outcome)
    })
    const cancelTimeout = schedule(timeoutMs, () => {
      // This does not call cancelWatch(): the reply is still expected, and a silent stream has to end.
      requests.forget(id)
      onOutcome(new TimeoutError(`no reply from ${to} within ${Math.round(timeoutMs)} ms`))
    })
    const cancelWatch = silence.watch(current, Math.max(timeoutMs, silenceMs))
    try {
      send(xml('iq', { type, id, from, to }, child))
      if (current.unsent() > MAX_UNREAD_BYTES) current.end('timeout', 'unread')
    } catch (error) {
      requests.get(id)?.settle(error as Error)
    }
  }

  return {
    requests,
    /** Takes each chunk of data that the stream receives, to detect lost replies. */
    hear: (stream: Stream, chunk: Buffer): void => {
      silence.hear(stream, chunk)
    },

    /** Ends all requests that wait for a reply with this error. */
    dropAll(error: Error): void {
      silence.stop()
      requests.settleAll(error)
    },

    /** Sends a request on the stream `current`, and returns the reply. Rejects with the errors of `Connection.request`. */
    exchange: (current: Stream, request: RequestToSend): Promise<Element> =>
      new Promise((resolve, reject) => {
        begin(current, request, (outcome) => {
          if (outcome instanceof Error) reject(outcome)
          else resolve(outcome)
        })
      }),
  }
}
