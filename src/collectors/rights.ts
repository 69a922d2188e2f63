import type { CollectorDefinition } from './collector-definition.js'
import type { Host } from './describe-host.js'
import { isOtherThanProsody } from './software.js'

/**
 * Creates an adviser about missing rights. If the exporter has no admin rights on Prosody, and mod_adhoc_statistics is
 * missing or not used, the adviser names once the collectors that need admin rights. If ejabberd refuses the API
 * commands, the adviser says once how to allow them.
 *
 * @param domain The domain of the exporter's component.
 * @param definitions The collectors that are on.
 * @param advise Gives one line of advice to the operator.
 */
export function createRightsAdvice(
  domain: string,
  definitions: readonly Pick<CollectorDefinition, 'name' | 'adminCommand'>[],
  advise: (line: string) => void,
) {
  const needAdmin = definitions.filter(({ adminCommand }) => adminCommand !== undefined)
  let isModuleMissing = !definitions.some(({ name }) => name === 'registry')
  let hosts: readonly Host[] = []
  let hasAdvisedRights = false
  let hasAdvisedApi = false

  function adviseIfNeeded(): void {
    if (hasAdvisedRights || !isModuleMissing || hosts.length === 0) return
    if (needAdmin.length === 0 || hosts.some(isOtherThanProsody)) return
    const hasRights = needAdmin.some(({ adminCommand }) =>
      hosts.some(({ commands }) => commands.has(adminCommand!)),
    )
    if (hasRights) return
    hasAdvisedRights = true
    advise(
      `${needAdmin.map(({ name }) => name).join(', ')}: no data, because Prosody answers these requests for admins only. ` +
        'Load mod_adhoc_statistics for the component. It needs no admin rights. ' +
        `Or add "admin_adhoc" to modules_enabled, and admins = { "${domain}" } to the VirtualHost section of ` +
        "prosody.cfg.lua. Then anyone who knows the component's secret can create and delete users.",
    )
  }

  return {
    found: (all: readonly Host[]): void => {
      hosts = all.filter(({ problem }) => problem === undefined)
      adviseIfNeeded()
    },
    moduleIsMissing: (): void => {
      isModuleMissing = true
      adviseIfNeeded()
    },
    apiRefused: (): void => {
      if (hasAdvisedApi) return
      hasAdvisedApi = true
      advise(
        'ejabberd_s2s: no data, because ejabberd refuses the API commands. Use ejabberd 25.03 or later. In ejabberd.yml, load ' +
          `mod_adhoc_api, and allow incoming_s2s_number and outgoing_s2s_number in api_permissions for an acl with server: ${domain}. ` +
          'Or turn the collector off with --no-collector.ejabberd_s2s.',
      )
    },
  }
}
