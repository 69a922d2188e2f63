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

/** One server to read: its own stream, collectors, snapshots and limits, nothing shared with others. */
export type MonitoredServer = {
  readonly config: ServerConfig
  readonly connection: Connection
  readonly scraper: Scraper
  readonly history: History
  /** What the collectors advised the operator to change, a line each. */
  advice(): readonly string[]
  isReady(): boolean
  /** Whether its stream is up, and its last collection was answered. */
  isUp(): boolean
}

/** What of the configuration concerns every server alike. */
export type SharedConfig = Pick<
  Config,
  'collection' | 'exposition' | 'registry' | 'page' | 'limits'
>

// Names of the server's are in them.
const MAX_ADVICE = 20

/** Makes a server's connection ── collectors ── scraper; `connection.start` sets it going. */
export function createMonitoredServer(
  config: ServerConfig,
  { collection, exposition, registry, page, limits }: SharedConfig,
  deps: {
    log: Log
    version: string
    own: () => readonly Family[]
    /** After each collection. */
    onReading: () => void
  },
): MonitoredServer {
  const { version, own, onReading } = deps
  const maskSecret = secretMask(config.xmpp.secret)
  const log = withMask(deps.log, config.xmpp.secret)
  const history = createHistory(page)
  const advice = new Set<string>()
  const connection = createConnection({
    ...config.xmpp,
    version,
    log,
    commands: [{ node: REGISTRY_NODE, name: 'Statistics for Prometheus' }],
    // So that we are ready, and know the registry, before the first scrape.
    onOnline: () => void scraper.refresh(),
  })
  const scraper = createScraper({
    log,
    own,
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
      if (!history.takes(collection.up)) return
      history.add(summarize(collection, Date.now(), { problem: connection.problem(), maskSecret }))
      onReading()
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
