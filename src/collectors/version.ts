import { xml } from '../xmpp/stream.js'
import type { HostSource } from './host-collector.js'

const NS_VERSION = 'jabber:iq:version'
// They are label values: what is longer is nobody's version.
const MAX_LENGTH = 100

/** Name and version of the software of each host. @see XEP-0092 §3 */
export const version: HostSource = {
  name: 'version',
  isSteady: true,
  families: [{ name: 'xmpp_info', help: "Name and version of the host's software; always 1." }],
  appliesTo: ({ features }) => features.has(NS_VERSION),
  async read(_, ask) {
    const reply = await ask.iq(xml('query', { xmlns: NS_VERSION }))
    const query = reply.getChild('query', NS_VERSION)
    const text = (name: string) =>
      (query?.getChildText(name, NS_VERSION) ?? '').slice(0, MAX_LENGTH)
    const labels = { name: text('name'), version: text('version') }
    return [{ family: 'xmpp_info', labels, value: 1 }]
  },
}
