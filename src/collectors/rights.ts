import type { CollectorDefinition } from './collector-definition.js'
import type { Host } from './describe-host.js'
import { isOtherThanProsody } from './software.js'

/**
 * Advises the operator once which collectors would work with admin rights, if Prosody has neither these rights
 * for the exporter nor mod_adhoc_statistics.
 *
 * @param definitions The collectors that are on.
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
        'Use mod_adhoc_statistics, which needs no rights. ' +
        `Or add "admin_adhoc" to modules_enabled, and admins = { "${domain}" } to the VirtualHost section of ` +
        "prosody.cfg.lua; then anyone with the component's secret can create and delete users.",
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
        'ejabberd_s2s: no data, because ejabberd refuses the API commands. In ejabberd.yml (25.03 or later) load ' +
          `mod_adhoc_api, and allow incoming_s2s_number and outgoing_s2s_number in api_permissions for an acl with server: ${domain}. ` +
          'Or use --no-collector.ejabberd_s2s.',
      )
    },
  }
}
