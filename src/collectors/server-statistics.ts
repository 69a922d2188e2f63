import { gauge } from '../catalogue/documented-family.js'
import { xml, type Element } from '../xmpp/xml.js'
import type { CollectorDefinition } from './collector-definition.js'
import type { Ask } from './host-collector.js'

/** @see XEP-0039 */
export const NS_STATS = 'http://jabber.org/protocol/stats'
const FAMILY = 'xmpp_statistic'
const MAX_STATISTICS = 100

/**
 * Exports the statistics of XEP-0039. The label `name` has the name that the server uses. The first request returns the
 * names of the statistics, and the second request returns their values. A statistic that the server refuses, or whose
 * value is not a decimal number, is not exported. The collector requests at most 100 statistics.
 *
 * @see XEP-0039 §3
 */
export const serverStatistics: CollectorDefinition = {
  name: 'server_statistics',
  isOn: false,
  help: 'Statistics of each host under the names that the server uses (XEP-0039).',
  source: 'XEP-0039',
  rights: 'none',
  families: [
    gauge(
      FAMILY,
      'host name units',
      'Statistic of XEP-0039, under the name that the server uses.',
      {
        defect:
          'The collector is off by default. Only the name of a statistic shows whether it is a counter.',
      },
    ),
  ],
  create: ({ queryHosts }) =>
    queryHosts({
      appliesTo: ({ features }) => features.has(NS_STATS),
      async read(_, ask) {
        const list = await ask.iq(xml('query', { xmlns: NS_STATS }))
        const names = statsOf(list)
          .map(({ attrs }) => attrs['name'] ?? '')
          .filter((name) => name !== '')
          .slice(0, MAX_STATISTICS)
        if (names.length === 0) return []
        const statistics = await readStatistics(ask, names)
        return statistics.map(({ name, units, value }) => ({
          family: FAMILY,
          labels: { name, units },
          value,
        }))
      },
    }),
}

/** Reads the values of the named statistics (XEP-0039). The result lacks a statistic that the server cannot report. */
export async function readStatistics(ask: Ask, names: readonly string[]) {
  const stats = names.map((name) => xml('stat', { name }))
  const reply = await ask.iq(xml('query', { xmlns: NS_STATS }, stats))
  return statsOf(reply).flatMap(({ attrs }) => {
    // XEP-0039 calls the attribute `units`. Some servers call it `unit`.
    const { name = '', units = attrs['unit'] ?? '', value = '' } = attrs
    // XEP-0039 §3: an unavailable statistic has a child element `error` and no value.
    return /^-?\d+(\.\d+)?$/.test(value) ? [{ name, units, value: Number(value) }] : []
  })
}

function statsOf(reply: Element): readonly Element[] {
  return reply.getChild('query', NS_STATS)?.getChildren('stat', NS_STATS) ?? []
}
