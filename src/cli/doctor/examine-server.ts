import { createCollectors } from '../../collectors/create-collectors.js'
import { KEEP_ALL } from '../../collectors/registry/registry-filter.js'
import type { ServerConfig } from '../../config/read-config.js'
import type { Connection } from '../../xmpp/connection.js'
import { examineCollectors, type Outcome, type Subject } from './examine-collectors.js'
import type { Reporter } from './findings.js'
import { connectAsComponent } from './connect-as-component.js'

const STEP_MS = 10_000

/** Examines a server step by step over a new connection: name, port, login and collectors. */
export async function examineServer(
  server: ServerConfig,
  version: string,
  report: Reporter,
): Promise<void> {
  const connection = await connectAsComponent(server.xmpp, version, report)
  if (!connection) return
  try {
    await examineCollectors(createSubject(connection, server), version, report)
  } finally {
    await connection.stop()
  }
}

function createSubject(connection: Connection, server: ServerConfig): Subject {
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
