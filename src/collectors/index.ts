import type { CollectorDefinition } from './collector-definition.js'
import { components } from './components.js'
import { ejabberdRooms } from './ejabberd-rooms.js'
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
 * All collectors, in the order in which they send their requests. If two collectors return a family of the same name,
 * the exporter serves the family of the first one. Therefore, the collector `registry` is before all others except
 * `ping`.
 */
export const COLLECTORS: readonly CollectorDefinition[] = [
  // The collector `ping` is first, so that its requests do not wait for other requests of the exporter.
  ping,
  registry,
  version,
  startTime,
  components,
  mucRooms,
  users,
  s2s,
  ejabberdS2s,
  ejabberdRooms,
  modules,
  serverStatistics,
]

/** Names of collectors that existed only in earlier versions of the exporter. */
const REMOVED = ['openfire', 'tigase']

/** Returns an error text for the setting of a collector in `REMOVED`, or undefined for any other name. */
export function removedCollector(name: string): string | undefined {
  if (!REMOVED.includes(name)) return undefined
  return `the collector ${name} was removed, because it was never tested with a real ${name} server. Remove the setting.`
}
