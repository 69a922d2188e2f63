import { NotHandledError } from '../errors.js'
import type { Log } from '../log/log.js'
import type { Requests } from './requests.js'
import { answerIq, type ServiceOptions } from './service.js'
import { readError } from './stanza-error.js'
import type { Stream } from './stream.js'
import type { Element } from './xml.js'

// If the server reads too slowly, incoming requests get no answer. Otherwise the answers would accumulate here.
const MAX_UNSENT = 256 * 1024

/** Creates a function that handles a stanza of the server: a reply to a request, or a request to answer. */
export function createIncomingHandler(options: ServiceOptions, requests: Requests, log: Log) {
  const { domain } = options

  function settleReply(iq: Element): void {
    const { from, type, id = '' } = iq.attrs
    const request = requests.get(id)
    if (request?.to === from) request?.settle(type === 'error' ? readError(iq) : iq)
  }

  /**
   * Only the exporter sends from its domain. Therefore, a request from there is one of its own, which no module of the
   * server handles. The exporter does not answer it, because it would take the `service-unavailable` for an answer of
   * the server.
   */
  function settleReturned(iq: Element): void {
    const request = requests.get(iq.attrs['id'] ?? '')
    if (request?.to !== domain) return
    request.settle(new NotHandledError(`nothing on the server handles requests to ${domain}`))
  }

  function answer(iq: Element, stream: Stream | undefined): void {
    if (stream && stream.unsent() > MAX_UNSENT) return
    const reply = answerIq(iq, options)
    try {
      if (reply) stream?.send(reply)
    } catch (error) {
      // The answer repeats the id, which can have control characters: the parser accepts them, but XML forbids them.
      log.debug('cannot answer an iq', { reason: (error as Error).message })
    }
  }

  return (stanza: Element, stream: Stream | undefined): void => {
    // Presence and messages need no answer (RFC 6120 §8.2.1, §8.2.2).
    if (stanza.getName() !== 'iq') return
    const { from, type } = stanza.attrs
    if (type === 'result' || type === 'error') settleReply(stanza)
    else if (from === domain) settleReturned(stanza)
    else answer(stanza, stream)
  }
}
