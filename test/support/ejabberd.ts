import type { TestContext } from 'node:test'
import { startEjabberd, type EjabberdVersion } from './setup/ejabberd.js'
import { freePorts } from './setup/process.js'

export type EjabberdConfig = {
  readonly version: EjabberdVersion
  /** The accounts to create. A key is the JID of an account, and its value is the password. */
  readonly users: Readonly<Record<string, string>>
  /** Options of ejabberd.yml, and modules, in addition to those that every test's ejabberd has. */
  readonly options?: object
  readonly modules?: object
  /** The port on 127.0.0.1 to which ejabberd connects for the domain far.example. */
  readonly farPort?: number
}

const SECRET = 'secret'

/** Starts a private ejabberd with the hosts one.example and two.example. The server stops after the test. */
export async function withEjabberd(t: Pick<TestContext, 'after'>, config: EjabberdConfig) {
  const [c2s = 0, s2s = 0, component = 0] = await freePorts(3)
  const listen = { ip: '127.0.0.1' }
  const server = await startEjabberd({
    version: config.version,
    users: config.users,
    config: {
      hosts: ['one.example', 'two.example'],
      loglevel: 'info',
      s2s_use_starttls: false,
      outgoing_s2s_port: config.farPort ?? s2s,
      outgoing_s2s_families: ['ipv4'],
      listen: [
        { ...listen, port: c2s, module: 'ejabberd_c2s', starttls_required: false },
        { ...listen, port: s2s, module: 'ejabberd_s2s_in' },
        {
          ...{ ...listen, port: component, module: 'ejabberd_service' },
          hosts: { 'stats.one.example': { password: SECRET } },
        },
      ],
      modules: {
        ...{ mod_adhoc: {}, mod_disco: {}, mod_last: {}, mod_ping: {}, mod_roster: {} },
        ...{ mod_stats: {}, mod_version: {}, mod_s2s_dialback: {}, mod_configure: {} },
        // With mod_muc, each host has a MUC service with the domain `conference.HOST`.
        mod_muc: { access_create: 'all' },
        ...config.modules,
      },
      ...config.options,
    },
  })
  t.after(() => server.stop())
  return {
    ...server,
    ports: { c2s, s2s, component },
    rooms: 'conference.one.example',
    statsDomains: ['stats.one.example'],
    service: `xmpp://127.0.0.1:${component}`,
    secret: SECRET,
  }
}
