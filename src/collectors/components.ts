import type { HostSource } from './host-collector.js'

/**
 * What the hosts and components of the server are, by their own description. A host that is named
 * and not there is a failure here, and nowhere else.
 *
 * @see XEP-0030 §3.1
 */
export const components: HostSource = {
  name: 'components',
  families: [
    {
      name: 'xmpp_host_info',
      help: 'Category and type of each host and component of the server; always 1.',
    },
  ],
  appliesTo: ({ identities, problem }) => identities.length > 0 || problem !== undefined,
  read: ({ identities, problem }) => {
    if (problem) return Promise.reject(problem)
    const seen = new Map(
      identities.map(({ category, type }) => [`${category}/${type}`, { category, type }]),
    )
    return Promise.resolve(
      [...seen.values()].map((labels) => ({ family: 'xmpp_host_info', labels, value: 1 })),
    )
  },
}
