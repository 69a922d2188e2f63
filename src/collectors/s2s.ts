import { gauge } from '../catalogue/documented-family.js'
import { DecodeError } from '../errors.js'
import { addCount } from '../metrics/counts.js'
import type { CollectorDefinition } from './collector-definition.js'
import type { HostSample, HostSource } from './host-collector.js'
import { createListGuard } from './list-guard.js'

const NODE = 'http://prosody.im/protocol/s2s#list'
const FAMILY = 'xmpp_s2s_connections'
const DIRECTIONS = { '<-': 'in', '->': 'out' } as const
const SECURITIES = ['verified', 'encrypted', 'plain'] as const

/**
 * Counts the connections with other servers in the list that mod_admin_adhoc of Prosody returns for each host. The
 * reply also has the numbers `num_in` and `num_out`. They are not used, because they are totals of all hosts.
 */
export const s2s: CollectorDefinition = {
  name: 's2s',
  isOn: true,
  help: 'Connections of each Prosody host with other servers; requires admin rights.',
  source: 'mod_admin_adhoc',
  rights: 'admin',
  adminCommand: NODE,
  families: [
    gauge(
      FAMILY,
      'host direction security',
      'Number of connections with other servers, including those being established, by direction and security.',
      {
        watch:
          '`security="plain"` counts unencrypted connections. `verified` means encrypted with a valid certificate.',
      },
    ),
  ],
  create: ({ queryHosts }) => queryHosts(createS2sSource()),
}

function createS2sSource(): HostSource {
  const guard = createListGuard('connections')
  return {
    appliesTo: ({ commands }) => commands.has(NODE),
    async read({ jid }, ask) {
      const { lines } = await guard.read(jid, async () => {
        const { form } = await ask.command(NODE)
        const lines = form?.fields.get('sessions')?.values
        if (!lines) throw new DecodeError('s2s#list', 'a field sessions', 'none')
        return { lines, items: lines.length }
      })
      return countConnections(lines)
    },
  }
}

/** @param lines One text per connection, for example ` <- remote.example [s2sin55d0c] (authenticated, encrypted)`. */
function countConnections(lines: readonly string[]): HostSample[] {
  const counts = new Map<string, number>()
  for (const line of lines) {
    if (line.trim() === '') continue
    const [, arrow, flags] = /^\s*(<-|->) .* \(([^()]*)\)$/.exec(line) ?? []
    if (arrow === undefined)
      throw new DecodeError('s2s#list', 'a line with -> or <-', 'another line')
    addCount(counts, `${arrow} ${securityOf(new Set(flags!.split(', ')))}`, 1)
  }
  return Object.entries(DIRECTIONS).flatMap(([arrow, direction]) =>
    SECURITIES.map((security) => ({
      family: FAMILY,
      labels: { direction, security },
      value: counts.get(`${arrow} ${security}`) ?? 0,
    })),
  )
}

function securityOf(flags: ReadonlySet<string>): (typeof SECURITIES)[number] {
  if (!flags.has('encrypted')) return 'plain'
  return flags.has('authenticated') ? 'verified' : 'encrypted'
}
