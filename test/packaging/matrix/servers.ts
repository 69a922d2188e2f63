/** Starts the servers that matrix.test.ts tests, all with the same users, and another server that connects to them. */

import type { TestContext } from 'node:test'
import type { EjabberdVersion } from '../../support/setup/ejabberd.js'
import { withEjabberd } from '../../support/ejabberd.js'
import { withProsody, type ProsodyVersion, type TestProsody } from '../../support/prosody.js'
import { evalLua } from '../../support/real.js'

/** The rights of the exporter. `some`: it may run only the commands that it needs. `admin`: it may run all commands. */
export type Rights = 'none' | 'some' | 'admin'

export type Server = {
  readonly ports: { readonly c2s: number; readonly s2s: number; readonly component: number }
  readonly rooms: string
  readonly statsDomains: readonly string[]
  readonly service: string
  readonly secret: string
}

export const STATS = 'stats.one.example'
export const USERS = { 'a@one.example': 'x', 'b@one.example': 'x', 'c@two.example': 'x' }

// The two servers connect without TLS and authenticate with dialback (XEP-0220).
const GLOBALS = { s2s_allow_encryption: 'false', s2s_secure_auth: 'false' }

/** Starts a Prosody with the host far.example and the user d. */
export function withFarServer(t: TestContext): Promise<TestProsody> {
  return withProsody(t, {
    version: '0.12.3',
    hosts: ['far.example'],
    users: { 'd@far.example': 'x' },
    statsDomains: ['stats.far.example'],
    modules: ['test_dns', 'test_eval'],
    globals: GLOBALS,
  })
}

/** Starts a Prosody without mod_adhoc_statistics. */
export async function withStockProsody(
  t: TestContext,
  options: { version: ProsodyVersion; rights: Rights; farPort: number },
): Promise<Server> {
  const prosody = await withProsody(t, {
    version: options.version,
    users: USERS,
    statsDomains: [],
    modules: ['admin_adhoc', 'test_dns', 'test_eval'],
    globals: { ...GLOBALS, ...(options.rights === 'admin' && { admins: `{ "${STATS}" }` }) },
    components: [{ domain: STATS, options: { component_secret: '"secret"' } }],
  })
  await evalLua(prosody, `prosody.test_dns_ports = { ["far.example"] = ${options.farPort} }`)
  return { ...prosody, statsDomains: [STATS] }
}

/** The modules of ejabberd that some numbers need. Debian's older versions do not have mod_adhoc_api. */
const MORE_MODULES = {
  none: {},
  some: { mod_adhoc_api: {}, mod_muc_admin: {} },
  admin: { mod_admin_extra: {}, mod_private: {} },
}

export async function withStockEjabberd(
  t: TestContext,
  options: { version: EjabberdVersion; rights: Rights; farPort: number },
): Promise<Server> {
  const acl = { statistics: { server: STATS } }
  const rights = {
    none: {},
    some: {
      acl,
      api_permissions: {
        'prosody-exporter': {
          ...{ from: 'mod_adhoc_api', who: { server: STATS } },
          what: ['incoming_s2s_number', 'outgoing_s2s_number', 'muc_online_rooms_count'],
        },
      },
    },
    admin: { acl, access_rules: { configure: { allow: 'statistics' } } },
  }
  return await withEjabberd(t, {
    version: options.version,
    users: USERS,
    farPort: options.farPort,
    options: rights[options.rights],
    modules: MORE_MODULES[options.rights],
  })
}
