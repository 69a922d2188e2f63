import { DecodeError } from '../errors.js'
import { NS_DISCO_ITEMS } from '../xmpp/namespaces.js'
import { xml } from '../xmpp/stream.js'
import type { HostSource } from './host-collector.js'
import { createListGuard } from './list-guard.js'

const NS_MUC = 'http://jabber.org/protocol/muc'
const NS_RSM = 'http://jabber.org/protocol/rsm'

/**
 * Public rooms of each MUC service: where it can page its list (XEP-0059) only their number is asked
 * for, else the list, of which nothing is kept.
 *
 * @see XEP-0045 §6.3; XEP-0059 §2.7 Getting the Item Count
 */
export function createMucRooms(): HostSource {
  const guard = createListGuard('rooms')
  return {
    name: 'muc_rooms',
    families: [{ name: 'xmpp_muc_rooms', help: 'Public rooms of a MUC service.' }],
    appliesTo: ({ features, identities }) =>
      features.has(NS_MUC) && identities.some(({ category }) => category === 'conference'),
    async read({ jid }, ask) {
      const count = xml('set', { xmlns: NS_RSM }, xml('max', {}, '0'))
      const { items, counted } = await guard.read(jid, async () => {
        const reply = await ask.iq(xml('query', { xmlns: NS_DISCO_ITEMS }, count))
        const query = reply.getChild('query', NS_DISCO_ITEMS)
        if (!query) throw new DecodeError('disco#items', 'a list of items', 'none')
        return {
          items: query.getChildren('item', NS_DISCO_ITEMS).length,
          counted: query.getChild('set', NS_RSM)?.getChildText('count', NS_RSM) ?? '',
        }
      })
      const value = items === 0 && /^\d{1,9}$/.test(counted) ? Number(counted) : items
      return [{ family: 'xmpp_muc_rooms', value }]
    },
  }
}
