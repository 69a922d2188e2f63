import { xml } from '../xmpp/stream.js'
import type { Ask, HostSource } from './host-collector.js'

/** @see XEP-0039 */
export const NS_STATS = 'http://jabber.org/protocol/stats'
const FAMILY = 'xmpp_statistic'
const MAX_STATISTICS = 100

/**
 * What a server tells by XEP-0039, under its own names: it lists them, and is then asked for their
 * values. A statistic that it refuses, or whose value is no number, is missing.
 *
 * @see XEP-0039 §3; the XEP has an attribute `units`, and some servers write `unit`
 */
export const serverStatistics: HostSource = {
  name: 'server_statistics',
  families: [
    { name: FAMILY, help: 'A statistic of XEP-0039, by the name that the server gives it.' },
  ],
  appliesTo: ({ features }) => features.has(NS_STATS),
  async read(_, ask) {
    const list = await ask.iq(xml('query', { xmlns: NS_STATS }))
    const names = statsOf(list)
      .map(({ attrs }) => attrs['name'] ?? '')
      .filter((name) => name !== '')
      .slice(0, MAX_STATISTICS)
    if (names.length === 0) return []
    const told = await readStatistics(ask, names)
    return told.map(({ name, units, value }) => ({
      ...{ family: FAMILY, labels: { name, units } },
      value,
    }))
  },
}

/** The values of statistics that the server has under these names; one it can't tell is missing. */
export async function readStatistics(ask: Ask, names: readonly string[]) {
  const stats = names.map((name) => xml('stat', { name }))
  const reply = await ask.iq(xml('query', { xmlns: NS_STATS }, stats))
  return statsOf(reply).flatMap(({ attrs }) => {
    const { name = '', units = attrs['unit'] ?? '', value = '' } = attrs
    // XEP-0039 §3: a statistic that can't be told has an error in place of its value.
    return /^-?\d+(\.\d+)?$/.test(value) ? [{ name, units, value: Number(value) }] : []
  })
}

const statsOf = (reply: { getChild: ReturnType<typeof xml>['getChild'] }) =>
  reply.getChild('query', NS_STATS)?.getChildren('stat', NS_STATS) ?? []
