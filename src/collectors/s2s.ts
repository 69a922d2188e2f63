import { DecodeError } from '../errors.js'
import { addCount } from '../metrics/counts.js'
import type { HostSource } from './host-collector.js'
import { createListGuard } from './list-guard.js'

const NODE = 'http://prosody.im/protocol/s2s#list'
const FAMILY = 'xmpp_s2s_connections'
const DIRECTIONS = { '<-': 'in', '->': 'out' } as const
const SECURITIES = ['verified', 'encrypted', 'plain'] as const

/**
 * Connections with other servers, counted from the list that Prosody's mod_admin_adhoc gives of each
 * host: its own numbers, `num_in` and `num_out`, are those of all hosts.
 */
export function createS2s(): HostSource {
  const guard = createListGuard('connections')
  return {
    name: 's2s',
    families: [
      {
        name: FAMILY,
        help: 'Connections with other servers by direction and security, including those being established; verified means encrypted with a valid certificate.',
      },
    ],
    appliesTo: ({ commands }) => commands.has(NODE),
    async read({ jid }, ask) {
      const { lines } = await guard.read(jid, async () => {
        const { form } = await ask.command(NODE)
        const lines = form?.fields.get('sessions')?.values
        if (!lines) throw new DecodeError('s2s#list', 'a field sessions', 'none')
        return { lines, items: lines.length }
      })
      const counts = new Map<string, number>()
      for (const line of lines) {
        // e.g. ` <- remote.example [s2sin55d0c] (authenticated, encrypted)`; one empty line for none
        const [, arrow, flags] = /^\s*(<-|->) .* \(([^()]*)\)$/.exec(line) ?? []
        if (line.trim() === '') continue
        if (arrow === undefined)
          throw new DecodeError('s2s#list', 'a line with -> or <-', 'another')
        const key = `${arrow} ${securityOf(new Set(flags!.split(', ')))}`
        addCount(counts, key, 1)
      }
      return Object.entries(DIRECTIONS).flatMap(([arrow, direction]) =>
        SECURITIES.map((security) => ({
          family: FAMILY,
          labels: { direction, security },
          value: counts.get(`${arrow} ${security}`) ?? 0,
        })),
      )
    },
  }
}

function securityOf(flags: ReadonlySet<string>): (typeof SECURITIES)[number] {
  if (!flags.has('encrypted')) return 'plain'
  return flags.has('authenticated') ? 'verified' : 'encrypted'
}
