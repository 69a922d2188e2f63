// Makes a fake server answer like one with the companion module: for tests with many servers.

import type { Element } from '@xmpp/xml'
import { NotHandledError } from '../../src/errors.js'
import type { Connection } from '../../src/xmpp/connection.js'

/** Passes requests to the exporter's own domain to the model, and answers all others with service-unavailable. */
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
