import { gauge } from '../catalogue/documented-family.js'
import { DecodeError } from '../errors.js'
import { NS_DISCO_ITEMS } from '../xmpp/namespaces.js'
import { xml } from '../xmpp/xml.js'
import type { CollectorDefinition } from './collector-definition.js'
import type { HostSource } from './host-collector.js'
import { createListGuard } from './list-guard.js'

const NS_MUC = 'http://jabber.org/protocol/muc'
const NS_RSM = 'http://jabber.org/protocol/rsm'
const FAMILY = 'xmpp_muc_rooms'
// Prosody builds the list of all rooms for each request, so the collector asks once a minute. This time is a little
// shorter than a minute, so that scrapes with an interval of one minute always get a new number.
const MAX_AGE_MS = 55_000

/**
 * Counts the public rooms of each MUC service. A service that supports paged lists (XEP-0059) replies with the number
 * of rooms and without the list. Any other service replies with the list, and the collector counts the rooms in it.
 *
 * @see XEP-0045 §6.3; XEP-0059 §2.7 Getting the Item Count
 */
export const mucRooms: CollectorDefinition = {
  name: 'muc_rooms',
  isOn: true,
  help: 'Public rooms of each MUC service (XEP-0045).',
  source: 'XEP-0045',
  rights: 'none',
  families: [
    gauge(FAMILY, 'host', 'Number of public rooms of a MUC service.', {
      defect:
        'The number can be up to a minute old. Hidden rooms are not included. A list of more than 5,000 rooms is not requested again for an hour.',
    }),
  ],
  create: ({ queryHosts }) => queryHosts(createMucRoomsSource()),
}

function createMucRoomsSource(): HostSource {
  const guard = createListGuard('rooms')
  return {
    maxAgeMs: MAX_AGE_MS,
    appliesTo: ({ features, identities }) =>
      features.has(NS_MUC) && identities.some(({ category }) => category === 'conference'),
    async read({ jid }, ask) {
      const emptyPage = xml('set', { xmlns: NS_RSM }, xml('max', {}, '0'))
      const { items, count } = await guard.read(jid, async () => {
        const reply = await ask.iq(xml('query', { xmlns: NS_DISCO_ITEMS }, emptyPage))
        const query = reply.getChild('query', NS_DISCO_ITEMS)
        if (!query) throw new DecodeError('disco#items', 'a list of items', 'none')
        return {
          items: query.getChildren('item', NS_DISCO_ITEMS).length,
          count: query.getChild('set', NS_RSM)?.getChildText('count', NS_RSM) ?? '',
        }
      })
      const value = items === 0 && /^\d{1,9}$/.test(count) ? Number(count) : items
      return [{ family: FAMILY, value }]
    },
  }
}
