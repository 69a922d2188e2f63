import type { Connection } from '../xmpp/connection.js'
import type { Collector } from './collector.js'
import { components } from './components.js'
import { createEjabberdS2s } from './ejabberd-s2s.js'
import { createHostCollector, type HostSource } from './host-collector.js'
import { createHosts, type Hosts } from './hosts.js'
import { modules } from './modules.js'
import { createMucRooms } from './muc-rooms.js'
import { ping } from './ping.js'
import { createRegistryCollector } from './registry/registry.js'
import type { RegistryFilter } from './registry/registry-filter.js'
import type { NameScheme } from './registry/registry-names.js'
import { createRightsAdvice } from './rights.js'
import { createS2s } from './s2s.js'
import { askServedHosts } from './served-hosts.js'
import { serverStatistics } from './server-statistics.js'
import { createStartTime } from './start-time.js'
import { users } from './users.js'
import { version } from './version.js'

export type CollectorsOptions = {
  readonly filter: RegistryFilter
  /** What the registry's families are called; a family has each of the names. */
  readonly names: readonly NameScheme[]
  /** Domains of the server; none: our own domain's parent, with the components that it lists. */
  readonly hosts: readonly string[]
  /** By name; those that are not in it are as `COLLECTORS` says. */
  readonly enabled: ReadonlyMap<string, boolean>
  /** Takes a line that is said once. */
  readonly advise: (line: string) => void
}

type Context = {
  readonly connection: Connection
  readonly hosts: Hosts
  readonly filter: RegistryFilter
  readonly names: readonly NameScheme[]
  readonly advise: (line: string) => void
  readonly onModuleMissing: () => void
  readonly onApiRefused: () => void
}

export type CollectorEntry = {
  /** Of the switch `--collector.NAME`, and value of the label `collector`. */
  readonly name: string
  /** Unless the configuration says otherwise. */
  readonly isOn: boolean
  readonly help: string
  readonly create: (context: Context) => Collector
}

const onHosts = (source: (context: Context) => HostSource) => (context: Context) =>
  createHostCollector(context.connection, context.hosts, source(context))

/**
 * All sources of statistics, in the order in which they ask: the one place to add one. Of two that
 * tell a family of the same name the first is served, so the registry's wins.
 */
// prettier-ignore
export const COLLECTORS: readonly CollectorEntry[] = [
  // First, so that it waits for none of our own questions.
  { name: 'ping', isOn: true, help: 'Time that each host takes to answer (XEP-0199).', create: onHosts(() => ping) },
  { name: 'registry', isOn: true, help: "Prosody's whole statistics registry, by mod_adhoc_statistics.", create: createRegistry },
  { name: 'version', isOn: true, help: 'Name and version of the software (XEP-0092).', create: onHosts(() => version) },
  { name: 'start_time', isOn: true, help: 'When each host was started (XEP-0012).', create: onHosts(() => createStartTime()) },
  { name: 'components', isOn: true, help: 'Category and type of each host and component (XEP-0030).', create: onHosts(() => components) },
  { name: 'muc_rooms', isOn: true, help: 'Public rooms of each MUC service (XEP-0045).', create: onHosts(createMucRooms) },
  { name: 'users', isOn: true, help: 'Numbers of users (XEP-0133); requires rights.', create: onHosts(() => users) },
  { name: 's2s', isOn: true, help: 'Connections with other servers (Prosody); requires admin rights.', create: onHosts(createS2s) },
  { name: 'ejabberd_s2s', isOn: true, help: 'Connections with other servers (ejabberd); requires two API commands.', create: onHosts(({ onApiRefused }) => createEjabberdS2s(onApiRefused)) },
  { name: 'modules', isOn: true, help: 'Loaded modules (Prosody); requires admin rights.', create: onHosts(() => modules) },
  { name: 'server_statistics', isOn: false, help: 'Statistics under the names of the server (XEP-0039).', create: onHosts(() => serverStatistics) },
]

/** Names of collectors that earlier versions had. */
const REMOVED = ['openfire', 'tigase']

/** What to do with a setting of a collector that earlier versions had; undefined for any other name. */
export function removedCollector(name: string): string | undefined {
  if (!REMOVED.includes(name)) return undefined
  return `the collector ${name} was removed, because it was never tested with the real server. Remove the setting.`
}

function createRegistry(context: Context): Collector {
  const { connection, filter, names, advise, onModuleMissing } = context
  return createRegistryCollector(connection, { filter, names, advise, onMissing: onModuleMissing })
}

/** Those that are on. */
export function createCollectors(
  connection: Connection,
  { filter, names: schemes, hosts: named, enabled, advise }: CollectorsOptions,
): readonly Collector[] {
  const on = COLLECTORS.filter(({ name, isOn }) => enabled.get(name) ?? isOn)
  const names = on.map(({ name }) => name)
  const rights = createRightsAdvice(connection.domain, names, advise)
  const hosts = createHosts(connection, {
    named,
    served: (jids) => askServedHosts(connection, jids),
    onFound: rights.found,
  })
  const context = {
    connection,
    hosts,
    filter,
    names: schemes,
    advise,
    onModuleMissing: rights.moduleIsMissing,
    onApiRefused: rights.apiRefused,
  }
  return on.map(({ create }) => create(context))
}
