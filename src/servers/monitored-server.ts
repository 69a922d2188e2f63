import { createCollectors } from '../collectors/create-collectors.js'
import { REGISTRY_NODE } from '../collectors/registry/registry.js'
import type { Config, ServerConfig } from '../config/read-config.js'
import { createHistory, type History } from '../history/history.js'
import type { Log } from '../log/log.js'
import { secretMask, withMask } from '../log/mask.js'
import type { Family } from '../metrics/family.js'
import { summarize } from '../history/server-summary.js'
import { createScraper, type Scraper } from '../scrape/scraper.js'
import { createConnection, type Connection } from '../xmpp/connection.js'

/** One monitored server with its own stream, collectors, snapshots and history. Monitored servers share no state. */
export type MonitoredServer = {
  readonly config: ServerConfig
  readonly connection: Connection
  readonly scraper: Scraper
  readonly history: History
  /**
   * Returns at most 20 lines of advice of the collectors to the operator. Each element is one line, and says what to
   * change.
   */
  advice(): readonly string[]
  /** Whether the stream to the server is online and at least one collection has succeeded. */
  isReady(): boolean
  /** Whether the stream to the server is online and the server answered during the last collection. */
  isUp(): boolean
}

/** The settings that are the same for all servers. */
export type SharedConfig = Pick<
  Config,
  'collection' | 'exposition' | 'registry' | 'page' | 'limits'
>

// The lines of advice contain names that the server sends, so the server could cause any number of lines.
const MAX_ADVICE = 20

/** Creates the connection, the collectors and the scraper of a server. Call `connection.start` to start them. */
export function createMonitoredServer(
  config: ServerConfig,
  { collection, exposition, registry, page, limits }: SharedConfig,
  deps: {
    log: Log
    version: string
    /** Returns the metrics about this process, or none if the exporter monitors several servers. */
    exporterFamilies: () => readonly Family[]
    /** Called when the history has a new summary. */
    onSummary: () => void
  },
): MonitoredServer {
  const { version, exporterFamilies, onSummary } = deps
  const maskSecret = secretMask(config.xmpp.secret)
  const log = withMask(deps.log, config.xmpp.secret)
  const history = createHistory(page)
  const advice = new Set<string>()
  const connection = createConnection({
    ...config.xmpp,
    version,
    log,
    commands: [{ node: REGISTRY_NODE, name: 'Statistics for Prometheus' }],
    // The exporter collects immediately after each login, so that it is ready before the first scrape.
    onOnline: () => void scraper.refresh(),
  })
  const scraper = createScraper({
    log,
    exporterFamilies,
    ...exposition,
    ...collection,
    collectors: createCollectors(connection, {
      names: exposition.names,
      filter: {
        drop: registry.drop,
        labelValueLength: limits.labelValueLength || Infinity,
        maxSeries: limits.series || Infinity,
      },
      hosts: config.hosts,
      enabled: config.collectors,
      advise: (line) => {
        if (advice.size < MAX_ADVICE) advice.add(line)
        log.info(line)
      },
    }),
    link: () => ({ connected: connection.isConnected(), connects: connection.connects() }),
    maxSeries: limits.series || Infinity,
    onCollection: (collection) => {
      if (!history.shouldAdd(collection.isUp)) return
      history.add(summarize(collection, Date.now(), { problem: connection.problem(), maskSecret }))
      onSummary()
    },
  })
  return {
    config,
    connection,
    scraper,
    history,
    advice: () => [...advice],
    isReady: () => connection.isConnected() && scraper.hasSucceeded(),
    isUp: () => connection.isConnected() && scraper.wasUp() === true,
  }
}
