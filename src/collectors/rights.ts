import { NS_ADMIN } from '../xmpp/namespaces.js'
import type { Host } from './hosts.js'
import { isOtherThanProsody } from './software.js'

/** Nodes of what only an admin may run, by the collector that runs it. */
const COMMANDS: Readonly<Record<string, string>> = {
  users: `${NS_ADMIN}#get-online-users-list`,
  s2s: 'http://prosody.im/protocol/s2s#list',
  modules: 'http://prosody.im/protocol/modules#list',
}

/** Collectors that tell nothing without the rights of an admin, at least of Prosody. */
export const NEED_RIGHTS: readonly string[] = Object.keys(COMMANDS)

/**
 * Says once what the rights of an admin would add, where neither they nor the module are there.
 *
 * @param collectors Names of those that are on.
 */
export function createRightsAdvice(
  domain: string,
  collectors: readonly string[],
  say: (line: string) => void,
) {
  const wanting = NEED_RIGHTS.filter((name) => collectors.includes(name))
  let isModuleMissing = !collectors.includes('registry')
  let hosts: readonly Host[] = []
  let isSaid = false
  let isApiSaid = false

  function look(): void {
    const able = wanting.filter((name) => hosts.some((host) => host.commands.has(COMMANDS[name]!)))
    if (isSaid || !isModuleMissing || hosts.length === 0 || able.length > 0) return
    if (wanting.length === 0 || hosts.some(isOtherThanProsody)) return
    isSaid = true
    say(
      `${wanting.join(', ')} tell nothing: only an admin may ask, with "admin_adhoc" in modules_enabled and ` +
        `admins = { "${domain}" } in the VirtualHost's section of prosody.cfg.lua. That would also let whoever has ` +
        "the component's secret create and delete its users; mod_adhoc_statistics needs no such right",
    )
  }

  return {
    found: (all: readonly Host[]): void => {
      hosts = all.filter(({ problem }) => problem === undefined)
      look()
    },
    moduleIsMissing: (): void => {
      isModuleMissing = true
      look()
    },
    apiRefused: (): void => {
      if (isApiSaid) return
      isApiSaid = true
      say(
        'ejabberd_s2s tells nothing: in ejabberd.yml (25.03 or later) load mod_adhoc_api, and in api_permissions let ' +
          `an acl with server: ${domain} run incoming_s2s_number and outgoing_s2s_number; or --no-collector.ejabberd_s2s`,
      )
    },
  }
}
