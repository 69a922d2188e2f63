import { createCollectors } from '../collectors/create-collectors.js'
import { REGISTRY_NODE } from '../collectors/registry/registry.js'
import type { Config, ServerConfig } from '../config/read-config.js'
import { countUnstoredPoints, createHistory, type History } from '../history/history.js'
import { recordHistory } from '../history/recorded-history.js'
import { getHistoryPath, type StateDirectory } from '../history/state-directory.js'
import type { Log } from '../log/log.js'
import { reasonText, secretMask, withMask, type Mask } from '../log/mask.js'
import type { Family } from '../metrics/family.js'
import { summarize } from '../history/server-summary.js'
import { createEventCounter } from '../history/recent-events.js'
import { createIntervalDetector } from '../history/statistics-interval.js'
import type { LinkReport } from '../history/link-report.js'
import { createScraper, type Scraper } from '../scrape/scraper.js'
import { explainEvictions } from '../xmpp/advice.js'
import { createConnection, type Connection } from '../xmpp/connection.js'
import type { Element } from '../xmpp/xml.js'

/** One monitored server with its own stream, collectors, snapshots and history. Monitored servers share no state. */
export type MonitoredServer = {
  readonly config: ServerConfig
  readonly connection: Connection
  readonly scraper: Scraper
  readonly history: History
  /** Returns the state of the stream for the status page, without the secret and personal data. */
  readonly reportLink: () => LinkReport
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

export type MonitoredServerDependencies = {
  readonly log: Log
  readonly version: string
  /** Returns the metrics about this process, or none if the exporter monitors several servers. */
  readonly exporterFamilies: () => readonly Family[]
  /** The directory of the history files; `undefined` if the history is in memory only. */
  readonly stateDirectory: StateDirectory | undefined
  /** Called when the history has a new summary, and when the stream or an attempt to connect has ended. */
  readonly onChange: () => void
  /** See `ConnectionOptions`. */
  readonly onStanza: (stanza: Element) => boolean
  /** Called after each login that succeeded. */
  readonly onOnline: () => void
  /** Called with the families of each collection. */
  readonly onCollection: (families: readonly Family[]) => void
  /** Called when a stream or an attempt to connect has ended. */
  readonly onLost: () => void
}

// The lines of advice contain names that the server sends, so the server could cause any number of lines.
const MAX_ADVICE = 20

/** Creates the connection, the collectors and the scraper of a server. Call `connection.start` to start them. */
export function createMonitoredServer(
  config: ServerConfig,
  { collection, exposition, registry, page, limits }: SharedConfig,
  deps: MonitoredServerDependencies,
): MonitoredServer {
  const { version, exporterFamilies, onChange } = deps
  const maskSecret = secretMask(config.xmpp.secret)
  const log = withMask(deps.log, config.xmpp.secret)
  const history = createServerHistory(config.name, page, {
    stateDirectory: deps.stateDirectory,
    log,
  })
  const detectInterval = createIntervalDetector()
  const countEvents = createEventCounter()
  const advice = new Set<string>()
  const connection = createConnection({
    ...config.xmpp,
    version,
    log,
    commands: [{ node: REGISTRY_NODE, name: 'Statistics for Prometheus' }],
    // The exporter collects immediately after each login, so that it is ready before the first scrape.
    onOnline: () => {
      void scraper.refresh()
      deps.onOnline()
    },
    onLost: () => {
      deps.onLost()
      onChange()
    },
    onStanza: deps.onStanza,
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
      deps.onCollection(collection.families)
      const connects = connection.connects()
      const interval = detectInterval(collection.results, connects)
      if (!history.shouldAdd({ isUp: collection.isUp, connects })) return
      const recent = countEvents(collection, connects)
      const { domain: ownDomain } = connection
      history.add(
        summarize(collection, Date.now(), { connects, interval, recent, ownDomain, maskSecret }),
      )
      onChange()
    },
  })
  return {
    config,
    connection,
    scraper,
    history,
    reportLink: () => reportLink(connection, maskSecret),
    advice: () => [...advice],
    isReady: () => connection.isConnected() && scraper.hasSucceeded(),
    isUp: () => connection.isConnected() && scraper.wasUp() === true,
  }
}

function reportLink(connection: Connection, maskSecret: Mask): LinkReport {
  const mask = (text: string | undefined) =>
    text === undefined ? undefined : reasonText(text, maskSecret)
  const evictions = connection.evictions()
  return {
    isConnected: connection.isConnected(),
    connects: connection.connects(),
    problem: mask(connection.problem()),
    // A single eviction is normal after a restart of the exporter.
    conflict: mask(evictions > 1 ? explainEvictions(connection.domain, evictions) : undefined),
  }
}

/** Creates the history of a server: in a file of the state directory, or only in memory if there is no such directory. */
function createServerHistory(
  server: string,
  page: SharedConfig['page'],
  { stateDirectory, log }: { stateDirectory: StateDirectory | undefined; log: Log },
): History {
  if (stateDirectory === undefined) return createHistory(page)
  const memory = createHistory({ ...page, maxPoints: countUnstoredPoints(page.intervalMs) })
  const { queue } = stateDirectory
  const path = getHistoryPath(stateDirectory.path, server)
  return recordHistory(memory, { path, server, queue, log })
}
