import { gauge } from '../catalogue/documented-family.js'
import { StanzaError } from '../errors.js'
import type { CollectorDefinition } from './collector-definition.js'
import type { Host } from './describe-host.js'
import type { Ask, HostSource } from './host-collector.js'
import { isSoftware } from './software.js'

const FAMILY = 'ejabberd_s2s_connections'
const DIRECTIONS = { in: 'incoming', out: 'outgoing' } as const

/**
 * Reads the number of connections of the ejabberd node with other servers. Two of its API commands return it;
 * mod_adhoc_api runs them for the clients that `api_permissions` allows.
 */
export const ejabberdS2s: CollectorDefinition = {
  name: 'ejabberd_s2s',
  isOn: true,
  help: 'Connections with other servers (ejabberd); requires two API commands.',
  source: 'mod_adhoc_api of ejabberd',
  rights: 'two [API commands](#ejabberd)',
  families: [
    gauge(
      FAMILY,
      'host direction',
      'Number of connections of the whole ejabberd node with other servers, by direction.',
      {
        defect: 'Each host has the number of the node. Take the `max`, not the `sum`, over `host`.',
      },
    ),
  ],
  create: ({ queryHosts, onApiRefused }) => queryHosts(createEjabberdS2sSource(onApiRefused)),
}

/**
 * ejabberd does not list the API commands without further rights. Therefore, the source tries them once after
 * each search for hosts.
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

/** Returns undefined if ejabberd refuses the command. */
async function readNumber(ask: Ask, node: string, field: string): Promise<number | undefined> {
  try {
    // With a form, even an empty one, ejabberd runs the command immediately. Without a form it asks for one.
    // It takes FORM_TYPE for an argument of the command, and crashes.
    const { form } = await ask.command(node, {}, null)
    // Without the right, ejabberd names the field `error`.
    const text = form?.fields.get(field)?.values[0] ?? ''
    return /^\d{1,9}$/.test(text) ? Number(text) : undefined
  } catch (error) {
    if (error instanceof StanzaError) return undefined
    throw error
  }
}
