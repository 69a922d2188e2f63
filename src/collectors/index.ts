import type { Connection } from '../xmpp/connection.js'
import type { Collector } from './collector.js'
import { createRegistryCollector } from './registry.js'
import type { RegistryFilter } from './registry-lines.js'

/** All sources of statistics: the one place to add one. */
export function createCollectors(
  connection: Connection,
  filter: RegistryFilter,
): readonly Collector[] {
  return [createRegistryCollector(connection, { filter })]
}
