import { gauge } from '../catalogue/documented-family.js'
import { NS_PING } from '../xmpp/namespaces.js'
import { xml } from '../xmpp/xml.js'
import type { CollectorDefinition } from './collector-definition.js'

/** Measures how long each host takes to answer a ping. @see XEP-0199 §4 */
export const ping: CollectorDefinition = {
  name: 'ping',
  isOn: true,
  help: 'Time that each host takes to answer (XEP-0199).',
  source: 'XEP-0199',
  rights: 'none',
  families: [
    gauge(
      'xmpp_ping_seconds',
      'host',
      'Time from a ping to its reply, over the stream of the exporter.',
      {
        watch:
          'The host answers no request of the exporter faster than this. Prosody answers the ping together with the first ' +
          'page of its statistics, so the time includes the 2 ms or less that Prosody needs for the page.',
      },
    ),
  ],
  create: ({ queryHosts }) =>
    queryHosts({
      appliesTo: ({ features }) => features.has(NS_PING),
      async read(_, ask) {
        const startedAt = performance.now()
        await ask.iq(xml('ping', { xmlns: NS_PING }))
        return [{ family: 'xmpp_ping_seconds', value: (performance.now() - startedAt) / 1000 }]
      },
    }),
}
