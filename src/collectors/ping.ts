import { NS_PING } from '../xmpp/namespaces.js'
import { xml } from '../xmpp/stream.js'
import type { HostSource } from './host-collector.js'

/** How long each host takes to answer at all. @see XEP-0199 §4.2 */
export const ping: HostSource = {
  name: 'ping',
  families: [
    { name: 'xmpp_ping_seconds', help: 'Time from a ping to its answer, over our own stream.' },
  ],
  appliesTo: ({ features }) => features.has(NS_PING),
  async read(_, ask) {
    const startedAt = performance.now()
    await ask.iq(xml('ping', { xmlns: NS_PING }))
    return [{ family: 'xmpp_ping_seconds', value: (performance.now() - startedAt) / 1000 }]
  },
}
