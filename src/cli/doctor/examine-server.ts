import { setTimeout } from 'node:timers/promises'
import { createCollectors } from '../../collectors/create-collectors.js'
import { KEEP_ALL } from '../../collectors/registry/registry-filter.js'
import type { ServerConfig } from '../../config/read-config.js'
import type { Connection } from '../../xmpp/connection.js'
import { connectAsComponent } from './connect-as-component.js'
import { examineCollectors, type Outcome, type Subject } from './examine-collectors.js'
import { COMPONENT_STEP, type Reporter } from './findings.js'

const STEP_MS = 10_000
// An exporter that doctor evicts for the first time logs in again within 3 s, and evicts doctor (xmpp/backoff.ts). After
// several evictions, its pauses are longer, and doctor does not wait for it.
const RETURN_MS = 4000
const POLL_INTERVAL_MS = 50

/**
 * Examines a server step by step over a new connection: name, port, login, collectors, and whether another program uses
 * the component.
 *
 * @returns The number of series, if the statistics work.
 */
export async function examineServer(
  server: ServerConfig,
  version: string,
  report: Reporter,
): Promise<number | undefined> {
  const connection = await connectAsComponent(server.xmpp, version, report)
  if (!connection) return undefined
  const returnsBy = performance.now() + RETURN_MS
  try {
    const series = await examineCollectors(createSubject(connection, server), version, report)
    if (series !== undefined && (await waitForEviction(connection, returnsBy))) {
      report.note(
        COMPONENT_STEP,
        `Another program logged in as component "${server.xmpp.domain}" after doctor. If it is the exporter that you ` +
          'check, run doctor as root on its machine. Otherwise two exporters share one component: give each its own.',
      )
    }
    return series
  } finally {
    await connection.stop()
  }
}

/** Waits until another program logs in as the component. Returns false if none did until the given time. */
async function waitForEviction(connection: Connection, untilMs: number): Promise<boolean> {
  while (connection.evictions() === 0) {
    if (performance.now() >= untilMs) return false
    await setTimeout(POLL_INTERVAL_MS)
  }
  return true
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
