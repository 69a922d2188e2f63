import type { CollectorDefinition } from './collector-definition.js'
import { components } from './components.js'
import { ejabberdS2s } from './ejabberd-s2s.js'
import { modules } from './modules.js'
import { mucRooms } from './muc-rooms.js'
import { ping } from './ping.js'
import { registry } from './registry/registry-definition.js'
import { s2s } from './s2s.js'
import { serverStatistics } from './server-statistics.js'
import { startTime } from './start-time.js'
import { users } from './users.js'
import { version } from './version.js'

/**
 * All collectors, in the order of their requests. If two collectors return the same family, the exporter serves
 * the one of the first. Therefore, the registry is before the collectors that use standard XMPP.
 */
export const COLLECTORS: readonly CollectorDefinition[] = [
  // First, so that the ping does not wait for other requests of the exporter.
  ping,
  registry,
  version,
  startTime,
  components,
  mucRooms,
  users,
  s2s,
  ejabberdS2s,
  modules,
  serverStatistics,
]

/** Names of collectors that earlier versions had. */
const REMOVED = ['openfire', 'tigase']

/** Returns what to do with a setting of a collector that earlier versions had; undefined for any other name. */
export function removedCollector(name: string): string | undefined {
  if (!REMOVED.includes(name)) return undefined
  return `the collector ${name} was removed, because it was never tested with the real server. Remove the setting.`
}
