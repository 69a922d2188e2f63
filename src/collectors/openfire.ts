import { NS_ADMIN } from '../xmpp/namespaces.js'
import type { HostSource, Reading } from './host-collector.js'

const NODE = `${NS_ADMIN}#get-server-stats`

const USERS = 'openfire_available_users'
const SESSIONS = 'openfire_available_sessions'
const STARTED = 'openfire_start_time_seconds'

/**
 * What Openfire tells components and admins by a command of its own, of the whole server.
 *
 * By its source (`GetServerStats.java`): this was never run against an Openfire.
 */
export const openfire: HostSource = {
  name: 'openfire',
  families: [
    { name: USERS, help: 'Users with a session that is available, of the whole Openfire.' },
    { name: SESSIONS, help: 'Sessions of users that are available, of the whole Openfire.' },
    { name: STARTED, help: 'When Openfire was started, in Unix time.' },
  ],
  appliesTo: ({ commands }) => commands.has(NODE),
  async read(_, ask) {
    const { form } = await ask.command(NODE)
    const text = (field: string) => form?.fields.get(field)?.values[0]?.trim() ?? ''
    const number = (family: string, field: string): Reading[] =>
      /^\d{1,12}$/.test(text(field)) ? [{ family, value: Number(text(field)) }] : []
    // The field called `uptime` is a date (XEP-0082).
    const started = Date.parse(text('uptime')) / 1000
    return [
      ...number(USERS, 'activeusersnum'),
      ...number(SESSIONS, 'sessionsnum'),
      ...(Number.isFinite(started) ? [{ family: STARTED, value: started }] : []),
    ]
  },
}
