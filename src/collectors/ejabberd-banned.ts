import { gauge } from '../catalogue/documented-family.js'
import type { CollectorDefinition } from './collector-definition.js'
import { readApiNumber } from './ejabberd-api.js'
import type { HostSource } from './host-collector.js'
import { isSoftware } from './software.js'

const FAMILY = 'xmpp_banned_users'

/** Reads how many accounts of a host an admin of ejabberd has banned. The API command is `count_banned`. */
export const ejabberdBanned: CollectorDefinition = {
  name: 'ejabberd_banned',
  isOn: true,
  help: 'Banned accounts of each host of ejabberd; requires admin rights and permission for an API command.',
  source: 'mod_adhoc_api and mod_admin_extra of ejabberd',
  rights: 'admin, and an [API command](#ejabberd)',
  families: [
    gauge(FAMILY, 'host', 'Number of banned accounts.', {
      defect: 'The value can be up to five minutes old.',
    }),
  ],
  create: ({ queryHosts }) => queryHosts(ejabberdBannedSource),
}

export const ejabberdBannedSource: HostSource = {
  // The number changes rarely, and with SQL storage ejabberd counts the rows of a table. So the exporter requests the
  // number only after each search for hosts, also after a refusal.
  isSteady: true,
  appliesTo: (host) => isSoftware(host, 'ejabberd'),
  async read({ jid }, ask) {
    const value = await readApiNumber(ask, 'count_banned', { host: jid }, 'banned')
    return value === undefined ? [] : [{ family: FAMILY, value }]
  },
}
