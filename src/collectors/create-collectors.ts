import type { Connection } from '../xmpp/connection.js'
import type { Collector } from './collector.js'
import { createHostCollector } from './host-collector.js'
import { createHosts } from './hosts.js'
import { COLLECTORS } from './index.js'
import { createRegistryCollector } from './registry/registry.js'
import type { RegistryFilter } from './registry/registry-filter.js'
import type { NameScheme } from './registry/name-schemes.js'
import { createRightsAdvice } from './rights.js'
import { askServedHosts } from './served-hosts.js'

export type CollectorsOptions = {
  readonly filter: RegistryFilter
  /** The naming schemes for families of Prosody's registry. Each family is exported under its name of each scheme. */
  readonly names: readonly NameScheme[]
  /**
   * The hosts that the operator configured. If the list is empty, the exporter queries the nearest parent of the
   * component's domain that is a host, and the components that this parent lists.
   */
  readonly hosts: readonly string[]
  /** Whether a collector is on, by its name. For a collector without an entry, `CollectorDefinition.isOn` applies. */
  readonly enabled: ReadonlyMap<string, boolean>
  /** Logs one line of advice for the operator. */
  readonly advise: (line: string) => void
}

/** Creates the enabled collectors of one monitored server, in the order of `COLLECTORS`. */
export function createCollectors(
  connection: Connection,
  { filter, names, hosts: named, enabled, advise }: CollectorsOptions,
): readonly Collector[] {
  const definitions = COLLECTORS.filter(({ name, isOn }) => enabled.get(name) ?? isOn)
  const rights = createRightsAdvice(connection.domain, definitions, advise)
  const hosts = createHosts(connection, {
    named,
    served: (jids) => askServedHosts(connection, jids),
    onFound: rights.found,
  })
  return definitions.map((definition) =>
    definition.create({
      connection,
      onApiRefused: rights.apiRefused,
      readRegistry: () =>
        createRegistryCollector(connection, {
          filter,
          names,
          advise,
          onMissing: rights.moduleIsMissing,
        }),
      queryHosts: (source) => createHostCollector(connection, hosts, definition, source),
    }),
  )
}
