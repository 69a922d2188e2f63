import { gauge } from '../catalogue/documented-family.js'
import { StanzaError } from '../errors.js'
import type { CollectorDefinition } from './collector-definition.js'
import type { Host } from './describe-host.js'
import type { Ask, HostSource } from './host-collector.js'
import { isSoftware } from './software.js'

const FAMILY = 'ejabberd_s2s_connections'
const DIRECTIONS = { in: 'incoming', out: 'outgoing' } as const

/**
 * Reads how many connections the ejabberd node has with other servers. The API commands `incoming_s2s_number` and
 * `outgoing_s2s_number` return the numbers. mod_adhoc_api of ejabberd runs them as ad-hoc commands for the clients that
 * the setting `api_permissions` of ejabberd allows.
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

/**
 * Without admin rights, ejabberd does not list the API commands that the exporter can run. Therefore, the exporter runs
 * them without looking at the list. After a refusal of both, it does not run them again until the next search for
 * hosts.
 */
export function createEjabberdS2sSource(onRefused: () => void): HostSource {
  const refusing = new WeakSet<Host>()
  return {
    appliesTo: (host) => isSoftware(host, 'ejabberd') && !refusing.has(host),
    async read(host, ask) {
      const numbers = await Promise.all(
        Object.entries(DIRECTIONS).map(async ([direction, word]) => {
          const number = await readNumber(ask, `api-commands/${word}_s2s_number`, `s2s_${word}`)
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

/** Returns undefined if ejabberd refuses the command or replies without the number. */
async function readNumber(ask: Ask, node: string, field: string): Promise<number | undefined> {
  try {
    // ejabberd runs an API command immediately if the request has a form, even an empty one. It would reply to a
    // request without a form by asking for a form. The form has no FORM_TYPE, because ejabberd would use that field as
    // an argument of the API command, and the command would crash.
    const { form } = await ask.command(node, {}, null)
    // If the exporter has no right to run the command, the reply has a field `error` instead of the number.
    const text = form?.fields.get(field)?.values[0] ?? ''
    return /^\d{1,9}$/.test(text) ? Number(text) : undefined
  } catch (error) {
    if (error instanceof StanzaError) return undefined
    throw error
  }
}
