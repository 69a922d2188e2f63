import { TimeoutError } from '../errors.js'
import { NS_PING } from './namespaces.js'
import { createRequests } from './requests.js'
import type { Schedule } from './schedule.js'
import { createSilenceWatch } from './silence.js'
import type { Stream } from './stream.js'
import { xml, type Element } from './xml.js'

// Bytes of requests that the server has not read. Without a limit, they would accumulate if the server never reads.
const MAX_UNREAD = 4 * 1024 * 1024

export type ExchangesOptions = {
  readonly domain: string
  readonly schedule: Schedule
  /** See `ConnectionOptions`. */
  readonly silenceMs: number
  /** Sends an iq on the current stream. */
  readonly send: (iq: Element) => void
}

type Exchange = {
  readonly type: 'get' | 'set'
  readonly child: Element
  readonly to: string
  readonly timeoutMs: number
}

/** The requests of the exporter and their replies. Ends a stream that owes a reply and is silent. */
export function createExchanges({ domain, schedule, silenceMs, send }: ExchangesOptions) {
  const requests = createRequests()
  const silence = createSilenceWatch({ schedule, probe })

  /**
   * Sends a ping to the component's own domain. If no module of the server answers it, the ping comes back. The server
   * answers requests to this domain in order. Therefore, a reply to the ping shows that earlier replies were lost.
   */
  function probe(): string {
    const id = requests.addProbe(domain)
    send(xml('iq', { type: 'get', id, from: domain, to: domain }, xml('ping', { xmlns: NS_PING })))
    return id
  }

  return {
    requests,
    /** Called with each chunk of data. */
    hear: (stream: Stream, chunk: Buffer): void => {
      silence.hear(stream, chunk)
    },

    /** Fails all requests. */
    dropAll(error: Error): void {
      silence.stop()
      requests.settleAll(error)
    },

    /** Sends a request on this stream, and calls back once, with the reply or an error. */
    begin(
      current: Stream,
      { type, child, to, timeoutMs }: Exchange,
      onOutcome: (outcome: Element | Error) => void,
    ): void {
      const id = requests.add(to, (outcome) => {
        cancelTimeout()
        cancelWatch()
        onOutcome(outcome)
      })
      const cancelTimeout = schedule(timeoutMs, () => {
        // Without cancelWatch(): the stream still owes the reply.
        requests.forget(id)
        onOutcome(new TimeoutError(`no reply from ${to} within ${Math.round(timeoutMs)} ms`))
      })
      const cancelWatch = silence.watch(current, Math.max(timeoutMs, silenceMs))
      try {
        send(xml('iq', { type, id, from: domain, to }, child))
        if (current.unsent() > MAX_UNREAD) current.end('timeout', 'unread')
      } catch (error) {
        requests.get(id)?.settle(error as Error)
      }
    },
  }
}
