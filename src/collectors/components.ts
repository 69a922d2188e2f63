import { gauge } from '../catalogue/documented-family.js'
import type { CollectorDefinition } from './collector-definition.js'

const FAMILY = 'xmpp_host_info'

/**
 * Exports the category and the type that each host and component reports about itself. If the setting `hosts` names a
 * host that does not exist, the collector `components` fails. The other collectors do not.
 *
 * @see XEP-0030 §3.1
 */
export const components: CollectorDefinition = {
  name: 'components',
  isOn: true,
  help: 'Category and type of each host and component (XEP-0030).',
  source: 'XEP-0030',
  rights: 'none',
  families: [
    gauge(
      FAMILY,
      'host category type',
      'Category and type of each host and component of the server; always 1.',
      { watch: 'A component without a series is not connected.' },
    ),
  ],
  create: ({ queryHosts }) =>
    queryHosts({
      appliesTo: ({ identities, problem }) => identities.length > 0 || problem !== undefined,
      read: ({ identities, problem }) => {
        if (problem) return Promise.reject(problem)
        const distinct = new Map(
          identities.map(({ category, type }) => [`${category}/${type}`, { category, type }]),
        )
        return Promise.resolve(
          [...distinct.values()].map((labels) => ({ family: FAMILY, labels, value: 1 })),
        )
      },
    }),
}
