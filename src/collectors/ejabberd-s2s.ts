import { StanzaError } from '../errors.js'
import type { Host } from './hosts.js'
import type { HostSource } from './host-collector.js'
import { isSoftware } from './software.js'

const FAMILY = 'ejabberd_s2s_connections'
const DIRECTIONS = { in: 'incoming', out: 'outgoing' } as const

/**
 * Connections of the whole ejabberd with other servers, by two of its API commands, which its
 * mod_adhoc_api runs for whom `api_permissions` names. It lists them for nobody without further
 * rights, so they are tried once each time the hosts are found.
 */
export function createEjabberdS2s(onRefused: () => void): HostSource {
  const refused = new WeakSet<Host>()
  return {
    name: 'ejabberd_s2s',
    families: [
      {
        name: FAMILY,
        help: 'Connections with other servers, by direction; those of the whole ejabberd node, the same for each of its hosts.',
      },
    ],
    appliesTo: (host) => isSoftware(host, 'ejabberd') && !refused.has(host),
    async read(host, ask) {
      const numbers = await Promise.all(
        Object.entries(DIRECTIONS).map(async ([direction, word]) => {
          const number = await readNumber(`api-commands/${word}_s2s_number`, `s2s_${word}`)
          return { direction, number }
        }),
      )
      const told = numbers.flatMap(({ direction, number }) =>
        number === undefined ? [] : [{ family: FAMILY, labels: { direction }, value: number }],
      )
      if (told.length === 0) {
        refused.add(host)
        onRefused()
      }
      return told

      async function readNumber(node: string, field: string): Promise<number | undefined> {
        try {
          // With a form, even an empty one, it is done at once; without, it asks for one. With a
          // FORM_TYPE, which it takes for an argument, it crashes.
          const { form } = await ask.command(node, {}, null)
          // Where we have no right the field is called `error`.
          const text = form?.fields.get(field)?.values[0] ?? ''
          return /^\d{1,9}$/.test(text) ? Number(text) : undefined
        } catch (error) {
          if (error instanceof StanzaError) return undefined
          throw error
        }
      }
    },
  }
}
