import type { Connection } from '../xmpp/connection.js'
import type { Collector } from './collector.js'
import { createRegistryCollector } from './registry.js'

/** All sources of statistics: the one place to add one. */
export function createCollectors(connection: Connection): readonly Collector[] {
  return [createRegistryCollector(connection)]
}
