import { gauge } from '../catalogue/documented-family.js'
import type { CollectorDefinition } from './collector-definition.js'
import type { Host } from './describe-host.js'
import { readApiNumber } from './ejabberd-api.js'
import type { HostSource } from './host-collector.js'
import { isSoftware } from './software.js'

const FAMILY = 'ejabberd_s2s_connections'
const DIRECTIONS = { in: 'incoming', out: 'outgoing' } as const

/**
 * Reads how many connections the ejabberd node has with other servers. The API commands `incoming_s2s_number` and
 * `outgoing_s2s_number` return the numbers.
 */
export const ejabberdS2s: CollectorDefinition = {
  name: 'ejabberd_s2s',
  isOn: true,
  help: 'Connections of the ejabberd node with other servers; requires permission for two API commands.',
  source: 'mod_adhoc_api of ejabberd',
  rights: 'two [API commands](#ejabberd)',
  families: [
    gauge(
      FAMILY,
      'host direction',
      'Number of connections of the whole ejabberd node with other servers, by direction.',
      {
        defect:
          'Each host has the number of the whole node. So take the `max` over `host`, not the `sum`.',
      },
    ),
  ],
  create: ({ queryHosts, onApiRefused }) => queryHosts(createEjabberdS2sSource(onApiRefused)),
}

/** After a refusal of both commands, the exporter does not run them again until the next search for hosts. */
export function createEjabberdS2sSource(onRefused: () => void): HostSource {
  const refusing = new WeakSet<Host>()
  return {
    appliesTo: (host) => isSoftware(host, 'ejabberd') && !refusing.has(host),
    async read(host, ask) {
      const numbers = await Promise.all(
        Object.entries(DIRECTIONS).map(async ([direction, word]) => {
          const number = await readApiNumber(ask, `${word}_s2s_number`, {}, `s2s_${word}`)
          return { direction, number }
        }),
      )
      const samples = numbers.flatMap(({ direction, number }) =>
        number === undefined ? [] : [{ family: FAMILY, labels: { direction }, value: number }],
      )
      if (samples.length === 0) {
        refusing.add(host)
        onRefused()
      }
      return samples
    },
  }
}
