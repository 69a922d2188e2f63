/** The status page without an exporter, for tests of the page with special histories. */

import { Hono } from 'hono'
import type { History } from '../../src/history/history.js'
import { summarize } from '../../src/history/server-summary.js'
import type { OutsideSection } from '../../src/page/outside-section.js'
import { createStatusPage, type PageServer, type StatusPage } from '../../src/page/page.js'
import type { CollectorResult } from '../../src/scrape/collector-result.js'
import { createCollection, FAMILIES, gauge } from './summary-families.js'

/** The result of the collector `registry` after Prosody has collected its statistics. */
const REGISTRY: CollectorResult = {
  ...{ name: 'registry', durationSeconds: 0.002 },
  output: {
    collected: {
      families: FAMILIES,
      exporterFamilies: [gauge('prosody_exporter_registry_updated_timestamp_seconds', [{}, 1])],
      invalid: new Map(),
    },
    ...{ startedAtSeconds: 0, endedAtSeconds: 0, endedAtMs: 0 },
  },
}

/** Creates the summary of a server that is up. */
export const createUpSummary = (atMs: number) =>
  summarize(createCollection({ results: [REGISTRY] }), atMs)

export const createPageServer = (history: History, name = 'main'): PageServer => ({
  ...{ name, history },
  reportLink: () => ({ isConnected: true, connects: 1, problem: undefined, conflict: undefined }),
})

export function createTestPage(
  servers: readonly PageServer[],
  outside?: OutsideSection,
): { app: Hono; page: StatusPage } {
  const app = new Hono()
  const page = createStatusPage({
    version: '1.2.3',
    directory: new URL('../../src/', import.meta.url),
    telemetryPath: '/metrics',
    servers: () => servers,
    notices: () => [],
    collectors: [{ name: 'registry', help: 'The registry.' }],
    job: () => 'scrape_configs: []',
    outside,
  })
  page.addTo(app)
  return { app, page }
}
