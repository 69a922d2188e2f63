import { DecodeError, StanzaError } from '../errors.js'
import { NS_ADMIN } from '../xmpp/namespaces.js'
import { CollectorError } from './failure.js'
import type { Ask, HostSource, HostSample } from './host-collector.js'
import { NS_STATS, readStatistics } from './server-statistics.js'

const ONLINE_LIST = `${NS_ADMIN}#get-online-users-list`
// The largest number that Prosody's form offers, but for `all`.
const MAX_ITEMS = 200

/** Commands that tell one number, and the field that has it. @see XEP-0133 §4.15 to §4.21 */
const NUMBERS = [
  ['xmpp_registered_users', 'get-registered-users-num', 'registeredusersnum'],
  ['xmpp_disabled_users', 'get-disabled-users-num', 'disabledusersnum'],
  ['xmpp_online_users', 'get-online-users-num', 'onlineusersnum'],
  ['xmpp_active_users', 'get-active-users-num', 'activeusersnum'],
  ['xmpp_idle_users', 'get-idle-users-num', 'idleusersnum'],
] as const

/** By their names of XEP-0039, which ejabberd tells anybody. */
const STATISTICS: ReadonlyMap<string, (typeof NUMBERS)[number][0]> = new Map([
  ['users/online', 'xmpp_online_users'],
  ['users/total', 'xmpp_registered_users'],
])

const HELP: Readonly<Record<(typeof NUMBERS)[number][0], string>> = {
  xmpp_registered_users: 'Users who have an account.',
  xmpp_disabled_users: 'Users whose account is disabled.',
  xmpp_online_users: 'Users with at least one session.',
  xmpp_active_users: 'Users online who are not idle, as the server defines it.',
  xmpp_idle_users: 'Users online who are idle, as the server defines it.',
}

/**
 * Numbers of users by host. Prosody has no command for a number, so its list of users online is
 * counted, as long as it is short: a list that was cut tells nothing.
 */
export const users: HostSource = {
  name: 'users',
  families: NUMBERS.map(([name]) => ({ name, help: HELP[name] })),
  appliesTo: ({ commands, features }) =>
    commands.has(ONLINE_LIST) ||
    NUMBERS.some(([, node]) => commands.has(`${NS_ADMIN}#${node}`)) ||
    features.has(NS_STATS),
  async read({ jid, commands }, ask) {
    const able = NUMBERS.filter(([, node]) => commands.has(`${NS_ADMIN}#${node}`))
    const readings: HostSample[] = []
    // One after another: each is work for the server.
    for (const [family, node, field] of able) {
      const value = await readNumber(ask, `${NS_ADMIN}#${node}`, field)
      if (value !== undefined) readings.push({ family, value })
    }
    if (able.length === 0 && !commands.has(ONLINE_LIST)) {
      for (const { name, value } of await readStatistics(ask, [...STATISTICS.keys()])) {
        const family = STATISTICS.get(name)
        if (family) readings.push({ family, value })
      }
      return readings
    }
    if (able.every(([family]) => family !== 'xmpp_online_users') && commands.has(ONLINE_LIST)) {
      readings.push({ family: 'xmpp_online_users', value: await countOnline(jid, ask) })
    }
    return readings
  },
}

/** Undefined where the server lists the command and does not have it, as ejabberd 26.07 one of these. */
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
    `${jid} has ${MAX_ITEMS} users online or more, and lists no more of them; ` +
      "mod_adhoc_statistics' own figures of users have no such limit",
  )
}
