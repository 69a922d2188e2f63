import { NotHandledError } from '../errors.js'
import type { Log } from '../log/log.js'
import type { Requests } from './requests.js'
import { answerIq, type ServiceOptions } from './service.js'
import { readError } from './stanza-error.js'
import type { Stream } from './stream.js'
import type { Element } from './xml.js'

// If the server reads slowly, answers accumulate in the memory of the exporter. Above this limit, the exporter does not
// answer requests.
const MAX_UNSENT_BYTES = 256 * 1024

/** Creates a function that handles each stanza from the server: it passes on replies, and answers requests. */
export function createIncomingHandler(
  options: ServiceOptions & {
    /** Handles a stanza in place of this function if it returns true. See `ConnectionOptions`. */
    readonly onStanza: (stanza: Element) => boolean
  },
  requests: Requests,
  log: Log,
) {
  const { domain, onStanza } = options

  function settleReply(iq: Element): void {
    const { from, type, id = '' } = iq.attrs
    const request = requests.get(id)
    if (request?.to === from) request?.settle(type === 'error' ? readError(iq) : iq)
  }

  /**
   * Only the exporter sends stanzas from the component's domain. Therefore, a request from this domain is a request of
   * the exporter that came back, because no module of the server handles it. The exporter does not answer such a
   * request with `service-unavailable`. Otherwise it would receive its own answer, and take it for an answer of the
   * server.
   */
  function settleReturned(iq: Element): void {
    const request = requests.get(iq.attrs['id'] ?? '')
    if (request?.to !== domain) return
    request.settle(new NotHandledError(`no module of the server handles this request to ${domain}`))
  }

  function answer(iq: Element, stream: Stream | undefined): void {
    const reply = answerIq(iq, options)
    try {
      if (reply) stream?.send(reply)
    } catch (error) {
      // The answer repeats texts of the request, for example its id. If one of them has a character that XML forbids,
      // `send` throws: the parser accepts such characters.
      log.debug('cannot answer an iq stanza', { reason: (error as Error).message })
    }
  }

  // Presence and messages need no answer (RFC 6120 §8.2.1, §8.2.2).
  return (stanza: Element, stream: Stream | undefined): void => {
    const { from, type } = stanza.attrs
    const isServerReading = !stream || stream.unsent() <= MAX_UNSENT_BYTES
    if (stanza.getName() !== 'iq') onStanza(stanza)
    else if (type === 'result' || type === 'error') settleReply(stanza)
    else if (from === domain) settleReturned(stanza)
    else if (isServerReading && !onStanza(stanza)) answer(stanza, stream)
  }
}
