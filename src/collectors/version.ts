import { gauge } from '../catalogue/documented-family.js'
import { xml } from '../xmpp/xml.js'
import type { CollectorDefinition } from './collector-definition.js'

const NS_VERSION = 'jabber:iq:version'
// The name and the version become label values. Each is cut off after 100 characters, because a longer text is not a
// name or a version.
const MAX_LENGTH = 100

/** Reads the name and the version of the software of each host. @see XEP-0092 §3 */
export const version: CollectorDefinition = {
  name: 'version',
  isOn: true,
  help: 'Name and version of the software of each host (XEP-0092).',
  source: 'XEP-0092',
  rights: 'none',
  families: [
    gauge('xmpp_info', 'host name version', 'Name and version of the host software; always 1.', {
      defect: 'The series can be up to five minutes old.',
    }),
  ],
  create: ({ queryHosts }) =>
    queryHosts({
      isSteady: true,
      appliesTo: ({ features }) => features.has(NS_VERSION),
      async read(_, ask) {
        const reply = await ask.iq(xml('query', { xmlns: NS_VERSION }))
        const query = reply.getChild('query', NS_VERSION)
        const text = (name: string) =>
          (query?.getChildText(name, NS_VERSION) ?? '').slice(0, MAX_LENGTH)
        const labels = { name: text('name'), version: text('version') }
        return [{ family: 'xmpp_info', labels, value: 1 }]
      },
    }),
}
