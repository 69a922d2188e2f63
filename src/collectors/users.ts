import { gauge } from '../catalogue/documented-family.js'
import { getDocumented } from '../catalogue/index.js'
import { DecodeError, StanzaError } from '../errors.js'
import { NS_ADMIN } from '../xmpp/namespaces.js'
import type { CollectorDefinition } from './collector-definition.js'
import { CollectorError } from './failure.js'
import type { Ask, HostSource, HostSample } from './host-collector.js'
import { NS_STATS, readStatistics } from './server-statistics.js'

const ONLINE_LIST = `${NS_ADMIN}#get-online-users-list`
// The longest list of online users that the exporter requests. The form of Prosody also offers `all`, without a limit.
const MAX_ITEMS = 200

/**
 * Ad-hoc commands that return one number. Each entry has the exported family, the name of the command, and the field of
 * the reply that has the number.
 *
 * @see XEP-0133 §4
 */
const NUMBERS = [
  ['xmpp_registered_users', 'get-registered-users-num', 'registeredusersnum'],
  ['xmpp_disabled_users', 'get-disabled-users-num', 'disabledusersnum'],
  ['xmpp_online_users', 'get-online-users-num', 'onlineusersnum'],
  ['xmpp_active_users', 'get-active-users-num', 'activeusersnum'],
  ['xmpp_idle_users', 'get-idle-users-num', 'idleusersnum'],
] as const

/** The exported family for each statistic name of XEP-0039. ejabberd reports these statistics to every client. */
const STATISTICS: ReadonlyMap<string, (typeof NUMBERS)[number][0]> = new Map([
  ['users/online', 'xmpp_online_users'],
  ['users/total', 'xmpp_registered_users'],
])

/**
 * Exports the numbers of users of each host. Prosody has no command for the number of online users, so the collector
 * requests a list of at most 200 online users and counts it. If the list has 200 entries, it may be incomplete. Then
 * the collector fails for this host and exports none of its numbers.
 */
export const users: CollectorDefinition = {
  name: 'users',
  isOn: true,
  help: 'Numbers of users of each host (XEP-0133); requires admin rights on Prosody.',
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
    // The commands run one after the other, so that they do not all occupy the server at the same time.
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

/**
 * Runs a command that returns one number. The result is undefined if the server answers `item-not-found`. ejabberd
 * 26.07 lists a command that it then answers this way.
 */
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
    `${jid} has ${MAX_ITEMS} users online or more, and the exporter requests a list of at most ${MAX_ITEMS} users. ` +
      'So the numbers of users of this host are missing. Load mod_adhoc_statistics, which counts all users.',
  )
}
