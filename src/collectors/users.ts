import { gauge } from '../catalogue/documented-family.js'
import { getDocumented } from '../catalogue/index.js'
import { DecodeError, StanzaError } from '../errors.js'
import { NS_ADMIN } from '../xmpp/namespaces.js'
import type { CollectorDefinition } from './collector-definition.js'
import { CollectorError } from './failure.js'
import type { Ask, HostSource, HostSample } from './host-collector.js'
import { NS_STATS, readStatistics } from './server-statistics.js'

const ONLINE_LIST = `${NS_ADMIN}#get-online-users-list`
// The largest number that the form of Prosody offers, except `all`.
const MAX_ITEMS = 200

/** The commands that return one number: family, command, and the field with the number. @see XEP-0133 §4.15 to §4.21 */
const NUMBERS = [
  ['xmpp_registered_users', 'get-registered-users-num', 'registeredusersnum'],
  ['xmpp_disabled_users', 'get-disabled-users-num', 'disabledusersnum'],
  ['xmpp_online_users', 'get-online-users-num', 'onlineusersnum'],
  ['xmpp_active_users', 'get-active-users-num', 'activeusersnum'],
  ['xmpp_idle_users', 'get-idle-users-num', 'idleusersnum'],
] as const

/** The families by the names of XEP-0039. ejabberd reports these statistics to everyone. */
const STATISTICS: ReadonlyMap<string, (typeof NUMBERS)[number][0]> = new Map([
  ['users/online', 'xmpp_online_users'],
  ['users/total', 'xmpp_registered_users'],
])

/**
 * Exports the numbers of users of each host. Prosody has no command for the number of online users, so the
 * collector counts the list of online users. If the list is cut, the collector fails and exports no number.
 */
export const users: CollectorDefinition = {
  name: 'users',
  isOn: true,
  help: 'Numbers of users (XEP-0133); requires rights.',
  source: 'XEP-0133; on ejabberd XEP-0039',
  rights: 'admin; on ejabberd none',
  adminCommand: ONLINE_LIST,
  families: [
    getDocumented('xmpp_registered_users'),
    gauge('xmpp_disabled_users', 'host', 'Number of users whose account is disabled.'),
    getDocumented('xmpp_online_users'),
    gauge(
      'xmpp_active_users',
      'host',
      'Number of online users who are not idle, as defined by the server.',
    ),
    gauge(
      'xmpp_idle_users',
      'host',
      'Number of online users who are idle, as defined by the server.',
    ),
  ],
  create: ({ queryHosts }) => queryHosts(usersSource),
}

export const usersSource: HostSource = {
  appliesTo: ({ commands, features }) =>
    commands.has(ONLINE_LIST) ||
    NUMBERS.some(([, command]) => commands.has(`${NS_ADMIN}#${command}`)) ||
    features.has(NS_STATS),
  async read({ jid, commands }, ask) {
    const available = NUMBERS.filter(([, command]) => commands.has(`${NS_ADMIN}#${command}`))
    if (available.length === 0 && !commands.has(ONLINE_LIST)) return await readFromStatistics(ask)
    const samples: HostSample[] = []
    // One command after the other, because each costs time of the server.
    for (const [family, command, field] of available) {
      const value = await readNumber(ask, `${NS_ADMIN}#${command}`, field)
      if (value !== undefined) samples.push({ family, value })
    }
    const hasOnlineNumber = available.some(([family]) => family === 'xmpp_online_users')
    if (!hasOnlineNumber && commands.has(ONLINE_LIST)) {
      samples.push({ family: 'xmpp_online_users', value: await countOnline(jid, ask) })
    }
    return samples
  },
}

async function readFromStatistics(ask: Ask): Promise<HostSample[]> {
  const statistics = await readStatistics(ask, [...STATISTICS.keys()])
  return statistics.flatMap(({ name, value }) => {
    const family = STATISTICS.get(name)
    return family ? [{ family, value }] : []
  })
}

/** Returns undefined if the server lists the command but does not have it. ejabberd 26.07 lists such a command. */
async function readNumber(ask: Ask, node: string, field: string): Promise<number | undefined> {
  const result = await ask.command(node).catch((error: unknown) => {
    if (error instanceof StanzaError && error.condition === 'item-not-found') return undefined
    throw error
  })
  if (!result) return undefined
  const { form } = result
  const text = form?.fields.get(field)?.values[0]?.trim() ?? 'none'
  if (!/^\d{1,15}$/.test(text)) throw new DecodeError(node, `a number in ${field}`, text)
  return Number(text)
}

async function countOnline(jid: string, ask: Ask): Promise<number> {
  const { form } = await ask.command(ONLINE_LIST, { max_items: String(MAX_ITEMS) })
  const jids = form?.fields.get('onlineuserjids')?.values
  if (!jids) throw new DecodeError(ONLINE_LIST, 'a field onlineuserjids', 'none')
  const count = jids.filter((line) => line !== '').length
  if (count < MAX_ITEMS) return count
  throw new CollectorError(
    'too_many',
    `${jid} has ${MAX_ITEMS} users online or more, and Prosody lists at most ${MAX_ITEMS}. ` +
      'Load mod_adhoc_statistics, which counts all of them.',
  )
}
