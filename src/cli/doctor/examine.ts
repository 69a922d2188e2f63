import { createCollectors } from '../../collectors/create-collectors.js'
import { KEEP_ALL } from '../../collectors/registry/registry-filter.js'
import type { ServerConfig } from '../../config/read-config.js'
import type { Connection } from '../../xmpp/connection.js'
import { examineCollectors, type Outcome, type Subject } from './examine-collectors.js'
import type { Say } from './findings.js'
import { reach } from './reach.js'

const STEP_MS = 10_000

/** Goes the whole way to a server's statistics, step by step, over a connection of its own. */
export async function examine(server: ServerConfig, version: string, say: Say): Promise<void> {
  const connection = await reach(server.xmpp, version, say)
  if (!connection) return
  try {
    await examineCollectors(subjectOf(connection, server), version, say)
  } finally {
    await connection.stop()
  }
}

function subjectOf(connection: Connection, server: ServerConfig): Subject {
  const advice: string[] = []
  const collectors = createCollectors(connection, {
    filter: KEEP_ALL,
    names: ['openmetrics'],
    hosts: server.hosts,
    enabled: server.collectors,
    advise: (line) => advice.push(line),
  })
  return {
    connection,
    advice: () => advice,
    async collect(only) {
      const outcomes = new Map<string, Outcome>()
      for (const collector of collectors) {
        const { name } = collector
        if (only !== undefined && name !== only) continue
        const failed = (failure: unknown): Outcome => ({ failure, families: [] })
        outcomes.set(name, await collector.collect({ timeoutMs: STEP_MS }).catch(failed))
      }
      return outcomes
    },
  }
}
