import type { Element } from '@xmpp/xml'
import { NotHandledError } from '../../src/errors.js'
import type { Connection } from '../../src/xmpp/connection.js'

/**
 * Returns a function that answers iq stanzas like a server with mod_adhoc_statistics. The model answers ad-hoc
 * commands to the exporter's own domain. The reply to every other request is the error `service-unavailable`.
 */
export function answerBy(model: Pick<Connection, 'request'>) {
  return async (iq: Element): Promise<string | undefined> => {
    const { id, from, to, type } = iq.attrs
    if (iq.name !== 'iq' || (type !== 'get' && type !== 'set')) return undefined
    const head = `id='${id}' from='${to}' to='${from}'`
    const [child] = iq.getChildElements()
    try {
      if (to !== from || child?.name !== 'command') throw new NotHandledError('none')
      const reply = await model.request(type, child, { timeoutMs: 1000 })
      return `<iq type='result' ${head}>${reply.getChildElements().join('')}</iq>`
    } catch {
      return (
        `<iq type='error' ${head}><error type='cancel'>` +
        "<service-unavailable xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></iq>"
      )
    }
  }
}
