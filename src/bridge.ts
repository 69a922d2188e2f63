import { createCollectors } from './collectors/index.js'
import { REGISTRY_NODE } from './collectors/registry.js'
import type { Config, ServerConfig } from './config.js'
import { createApp } from './http/app.js'
import { listen, type Listener } from './http/server.js'
import type { Log } from './log.js'
import { createExposition } from './metrics/exposition.js'
import type { ProcessFigures } from './metrics/self.js'
import { createScraper } from './scrape.js'
import { createConnection } from './xmpp/connection.js'

export type Bridge = {
  /** Listens and begins to connect; the server need not be there yet. */
  start(): Promise<void>
  /** Ends requests under way within `graceMs`, then the stream; nothing is left. */
  stop(graceMs: number): Promise<void>
}

/** The whole program: Prosody ── connection ── collectors ── scraper (snapshot) ── app ── Prometheus. */
export function createBridge(
  config: Config,
  deps: { log: Log; version: string; processFigures: () => ProcessFigures },
): Bridge {
  const { log, version, processFigures } = deps
  const { created, timestamps } = config.exposition
  const [server] = config.servers as [ServerConfig]
  const connection = createConnection({
    ...server.xmpp,
    version,
    log,
    commands: [{ node: REGISTRY_NODE, name: 'Statistics for Prometheus' }],
    // So that we are ready, and know the registry, before the first scrape.
    onOnline: () => void scraper.refresh(),
  })
  const scraper = createScraper({
    version,
    log,
    processFigures,
    created,
    timestamps,
    collectors: createCollectors(connection, {
      filter: {
        drop: config.registry.drop,
        labelValueLength: config.limits.labelValueLength || Infinity,
      },
      hosts: server.hosts,
      enabled: server.collectors,
      advise: (line) => {
        log.info(line)
      },
    }),
    link: () => ({ connected: connection.isConnected(), connects: connection.connects() }),
    minAgeMs: config.collection.minAgeMs,
    timeoutMs: config.collection.timeoutMs,
    serveStaleForMs: config.collection.serveStaleForMs,
    maxSeries: config.limits.series || Infinity,
  })
  const app = createApp({
    version,
    log,
    telemetryPath: config.web.telemetryPath,
    timeoutOffsetMs: config.timeoutOffsetMs,
    scrape: (waitMs) => scraper.scrape(waitMs),
    filter: ({ families }, names) => createExposition(families, { created, names }),
    isReady: () => connection.isConnected() && scraper.hasSucceeded(),
  })
  let listener: Listener | undefined

  return {
    async start() {
      listener = await listen(app, config.web.listenAddresses, log)
      connection.start()
    },
    async stop(graceMs) {
      await listener?.close(graceMs)
      await connection.stop()
    },
  }
}
