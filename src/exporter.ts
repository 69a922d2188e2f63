import type { Hono } from 'hono'
import { createAccessGate, getWebConfigFamilies } from './access/access-gate.js'
import type { WebAccess } from './access/access.js'
import { findCertificateProblem } from './access/find-certificate-problem.js'
import { diagnose } from './cli/doctor/diagnose.js'
import { findPageUrl } from './cli/doctor/page-url.js'
import { createTestReport, TEST_DEADLINE_MS } from './cli/doctor/test-report.js'
import { COLLECTORS } from './collectors/index.js'
import { askVirtualHosts } from './collectors/served-hosts.js'
import type { Given } from './config/given.js'
import type { Config } from './config/read-config.js'
import { createControlSockets } from './control/control-sockets.js'
import { getSocketName, type Component, type Owner } from './control/socket-directories.js'
import { ConfigError } from './errors.js'
import { createExposition } from './exposition/exposition.js'
import { pollServers } from './history/poll-servers.js'
import { prepareStateDirectory, type StateDirectory } from './history/state-directory.js'
import { storeHistories } from './history/store-histories.js'
import { chooseConnectionLimit, listen, type Listener } from './http/listener.js'
import { createApp, type Serve } from './http/routes.js'
import { addServerRoutes } from './http/server-routes.js'
import { limitRepeats } from './log/log-limit.js'
import { withFields, type Log } from './log/log.js'
import { maskKeys, maskQuoted } from './log/mask.js'
import type { DeliveryResult } from './messaging/delivery.js'
import type { Family } from './metrics/family.js'
import type { Outside } from './outside/outside.js'
import {
  createProcessFamilies,
  createUpFamily,
  type ProcessUsage,
  type ReloadState,
} from './metrics/own-families.js'
import { createStatusPage } from './page/page.js'
import type { Snapshot } from './scrape/snapshot.js'
import { traceExchange } from './servers/exchange-trace.js'
import { createMonitoredServer, type MonitoredServer } from './servers/monitored-server.js'
import { formatPrometheusJobs } from './servers/prometheus-job.js'
import { createServerSet, type ServerSet } from './servers/server-set.js'
import { createTaskQueue } from './task-queue.js'
import { getDomain } from './xmpp/jid.js'
import type { Element } from './xmpp/xml.js'

export type Exporter = {
  /** Starts to listen, and starts the connections to the servers. Does not wait until the servers answer. */
  start(): Promise<void>
  /**
   * Reloads the configuration. If the new configuration is invalid, resolves to false, and the previous one stays in
   * use.
   */
  reload(): Promise<boolean>
  /**
   * Waits up to `graceMs` milliseconds for running HTTP requests, then closes the listener and all connections to
   * servers.
   */
  stop(graceMs: number): Promise<void>
}

export type ExporterDependencies = {
  readonly log: Log
  readonly version: string
  readonly readProcessUsage: () => ProcessUsage
  readonly umask: (mask: number) => number
  /** @throws ConfigError */
  readonly readConfig: () => Promise<Config>
  /** The operating system user who may query this process with `prosody-exporter doctor`. */
  readonly owner: Owner
  readonly pid: number
  /** A file with additional trusted certificates, for the checks from outside. */
  readonly extraCaFile?: string | undefined
  /** The directory of main.js. A subdirectory contains the files of the status page. */
  readonly directory: URL
}

/**
 * Creates all parts of the exporter and connects them. Parts that depend on large packages and are rarely used, such as
 * `prosody-exporter doctor`, are imported at their first use, to save memory.
 */
export async function createExporter(
  config: Config,
  deps: ExporterDependencies,
): Promise<Exporter> {
  const { web } = config
  // Each HTTP request can cause a message. The limit prevents that a client fills the log.
  const requestLog = limitRepeats(deps.log)
  const access = web.configFile && (await loadWebAccess(web.configFile, deps.log))
  const exporterFamilies = () => {
    const usage = web.disableExporterMetrics ? undefined : deps.readProcessUsage()
    return [
      ...createProcessFamilies(deps.version, usage, reloader.getState()),
      ...(access ? getWebConfigFamilies(access.getReloadState()) : []),
      ...toFeatures.getFamilies(),
    ]
  }
  const toFeatures = createFeatureEvents(() => features)
  const stateDirectory = hasPage(config)
    ? await prepareStateDirectory(config.stateDirectory, deps.log)
    : undefined
  const servers = createServers(deps, { stateDirectory, exporterFamilies, toFeatures })
  const { applyConfig, sendTest } = toFeatures
  const reloader = createReloader(config, deps, servers, toFeatures)
  const { onChange } = toFeatures
  const outside = config.outside
    ? await loadOutside({ deps, servers, reloader, onChange })
    : undefined
  const core: Core = {
    config,
    deps,
    access,
    servers,
    reloader,
    exporterFamilies,
    sendTest,
    outside,
  }
  const features = await registerFeatures(core)
  const app = createMetricsApp(core, features, requestLog)
  let listener: Listener | undefined

  return {
    async start() {
      // For a thousand servers, applyConfig() takes a second. The listener opens at the same time.
      const applying = applyConfig()
      try {
        listener = await listen(app, web.listenAddresses, requestLog, {
          gate: access && createAccessGate(access),
          socketAccess: { ...web.socketAccess, umask: deps.umask },
          maxConnections: chooseConnectionLimit(deps.readProcessUsage().maxFds),
        })
      } catch (error) {
        for (const feature of features) await feature.close?.()
        throw error
      }
      // A reload may have replaced the configuration while the listener opened.
      await servers.apply(reloader.getConfig())
      await applying
      for (const feature of features) feature.start?.()
    },
    reload: reloader.reload,
    async stop(graceMs) {
      reloader.stop()
      for (const feature of features) feature.stop?.()
      await listener?.close(graceMs)
      await access?.stop()
      await reloader.waitForReload()
      await servers.stop()
      for (const feature of features) await feature.close?.()
    },
  }
}

type ServersParts = {
  readonly stateDirectory: StateDirectory | undefined
  readonly exporterFamilies: () => readonly Family[]
  readonly toFeatures: FeatureEvents
}

/** Creates the set of monitored servers, which passes their events to the optional features. */
function createServers(
  deps: ExporterDependencies,
  { stateDirectory, exporterFamilies, toFeatures }: ServersParts,
): ServerSet {
  const servers = createServerSet(
    (server, shared) =>
      createMonitoredServer(server, shared, {
        version: deps.version,
        log: withFields(deps.log, () => (servers.getOnly() ? {} : { server: server.name })),
        // With several servers, the telemetry path returns the metrics about this process, and the probes do not.
        exporterFamilies: () => (servers.getOnly() ? exporterFamilies() : []),
        stateDirectory,
        onChange: toFeatures.onChange,
        onStanza: (stanza) => toFeatures.onStanza(server.name, stanza),
        onCollection: (families) => {
          toFeatures.onCollection(server.name, families)
        },
        onOnline: () => {
          toFeatures.onOnline(server.name)
        },
        onLost: () => {
          toFeatures.onLost(server.name)
        },
      }),
    { onStopping: toFeatures.onStopping },
  )
  return servers
}

/** @throws If an upgrade has replaced the files of the running exporter. */
async function loadConfigFormat() {
  try {
    return await import('./config/format-config.js')
  } catch (error) {
    throw new Error('the files of the exporter were replaced; restart the exporter', {
      cause: error,
    })
  }
}

async function loadWebAccess(file: Given, log: Log): Promise<WebAccess> {
  const { createWebAccess } = await import('./access/access.js')
  return createWebAccess(file, log)
}

/** The parts of the exporter that optional features may use. */
type Core = {
  /** The configuration at the start. Its settings of this process, such as the listen address, are not reloaded. */
  readonly config: Config
  readonly deps: ExporterDependencies
  readonly access: WebAccess | undefined
  readonly servers: ServerSet
  readonly reloader: Reloader
  /** Returns the metrics about this process. */
  readonly exporterFamilies: () => readonly Family[]
  /** See `Feature`. */
  readonly sendTest: NonNullable<Feature['sendTest']>
  /** `undefined` if the exporter started without checks from outside. */
  readonly outside: Outside | undefined
}

/** An optional part of the exporter, for example the status page. */
type Feature = {
  /** Adds routes to the web server. */
  readonly addRoutes?: (app: Hono, serve: Serve<Snapshot>) => void
  /** Called at the start, while the listener opens, and after each reload of the configuration. */
  readonly applyConfig?: () => Promise<void> | void
  /** Handles a message, presence or request of a server. Returns whether it did. */
  readonly onStanza?: (server: string, stanza: Element) => boolean
  /** Called after each login that succeeded. */
  readonly onOnline?: (server: string) => void
  /** Called with the families of each collection from a server. */
  readonly onCollection?: (server: string, families: readonly Family[]) => void
  /** Called before a reload ends the stream to a server, because it removes or replaces the server. */
  readonly onStopping?: (server: string) => void
  /** Called when the stream to a server, or an attempt to connect, has ended. */
  readonly onLost?: (server: string) => void
  /**
   * Sends a test message to all recipients of alerts. Returns `undefined` if the exporter sends no alerts through this
   * server.
   */
  readonly sendTest?: (server: string, deadlineMs: number) => Promise<DeliveryResult> | undefined
  /** Returns the metrics of the feature. */
  readonly getFamilies?: () => readonly Family[]
  /** Called once, when the exporter listens and its connections to the servers have started. */
  readonly start?: () => void
  /** Called when a server has a new summary or a new state of its stream, and after a reload of the configuration. */
  readonly onChange?: () => void
  /** Called before the listener closes. Ends responses that would not end by themselves, such as event streams. */
  readonly stop?: () => void
  /** Called when the connections to the servers have stopped, or when the exporter cannot listen. */
  readonly close?: () => Promise<void>
}

type FeatureEvents = ReturnType<typeof createFeatureEvents>

/**
 * Creates the functions that pass an event to all optional features.
 *
 * @param list Returns the features. They are created after the servers, to which they refer.
 */
function createFeatureEvents(list: () => readonly Feature[]) {
  return {
    applyConfig: async () => {
      await Promise.all(list().map(async (feature) => feature.applyConfig?.()))
    },
    onChange: () => {
      for (const feature of list()) feature.onChange?.()
    },
    onStanza: (server: string, stanza: Element) =>
      list().some((feature) => feature.onStanza?.(server, stanza) ?? false),
    onOnline: (server: string) => {
      for (const feature of list()) feature.onOnline?.(server)
    },
    onCollection: (server: string, families: readonly Family[]) => {
      for (const feature of list()) feature.onCollection?.(server, families)
    },
    onStopping: (server: string) => {
      for (const feature of list()) feature.onStopping?.(server)
    },
    onLost: (server: string) => {
      for (const feature of list()) feature.onLost?.(server)
    },
    sendTest: (server: string, deadlineMs: number) =>
      list()
        .find((feature) => feature.sendTest)
        ?.sendTest?.(server, deadlineMs),
    getFamilies: () => list().flatMap((feature) => feature.getFamilies?.() ?? []),
  }
}

/** Creates all optional features. Add a new feature to this list. */
async function registerFeatures(core: Core): Promise<readonly Feature[]> {
  const { alerts, chat } = core.config
  return [
    ...(hasPage(core.config) ? [await createPageFeature(core)] : []),
    createServerRoutesFeature(core),
    createDoctorFeature(core),
    alerts || chat ? await loadMessagingFeature(core) : createMessagingNotice(core),
    core.outside ?? createOutsideNotice(core),
  ]
}

/** Says after a reload that checks from outside need a restart, like `createMessagingNotice`. */
function createOutsideNotice({ deps, reloader }: Core): Feature {
  return {
    applyConfig: () => {
      if (reloader.getConfig().outside) {
        deps.log.warn('Restart the exporter to turn on checks from outside: a reload cannot.')
      }
    },
  }
}

/** Loads the code that checks domains from outside. Without this feature, it takes no memory. */
async function loadOutside({
  deps,
  servers,
  reloader,
  onChange,
}: Pick<Core, 'deps' | 'servers' | 'reloader'> & { readonly onChange: () => void }) {
  const { createOutside } = await import('./outside/outside.js')
  return createOutside({
    config: () => reloader.getConfig().outside,
    log: deps.log,
    findServer: (name) => servers.get(name),
    serverNames: () => servers.getAll().map((server) => server.config.name),
    onChange,
    extraCaFile: deps.extraCaFile,
  })
}

/** Says after a reload that alerts and chat need a restart: routes cannot be added to a running web server. */
function createMessagingNotice({ deps, reloader }: Core): Feature {
  return {
    applyConfig: () => {
      const { alerts, chat } = reloader.getConfig()
      if (alerts || chat) {
        deps.log.warn('Restart the exporter to turn on alerts and chat: a reload cannot.')
      }
    },
  }
}

/** Loads the code that sends alerts and answers questions in chat. Without this feature, it takes no memory. */
async function loadMessagingFeature(core: Core): Promise<Feature> {
  const { deps, servers, reloader } = core
  const { createMessaging } = await import('./messaging/messaging.js')
  return createMessaging({
    config: reloader.getConfig,
    log: deps.log,
    findServer: (name) => servers.get(name),
    serverNames: () => servers.getAll().map((server) => server.config.name),
  })
}

/** The status page has the path `/`. With the telemetry path `/`, there is no status page. */
const hasPage = ({ web }: Config) => web.telemetryPath !== '/'

/** Creates the status page, and polls the servers for the charts of the page. */
async function createPageFeature(core: Core): Promise<Feature> {
  const { config, deps, access, servers, reloader, outside } = core
  const { web, collection } = config
  const page = createStatusPage({
    version: deps.version,
    directory: deps.directory,
    telemetryPath: web.telemetryPath,
    servers: () =>
      servers.getAll().map(({ config: { name }, history, reportLink }) => {
        return { name, history, reportLink }
      }),
    notices: () => listNotices(reloader.getState(), access),
    collectors: COLLECTORS,
    outside: outside && (await loadOutsideSection(outside)),
    job: (target) =>
      formatPrometheusJobs(
        { servers: servers.getAll().map((server) => server.config), web },
        target,
        web.external.path,
        { isEncrypted: access?.tls !== undefined },
      ),
  })
  let stopPolling = () => {}
  let stopStoring = () => {}
  return {
    addRoutes: (app) => {
      page.addTo(app)
    },
    onChange: page.notify,
    start: () => {
      stopStoring = storeHistories(() => servers.getAll().map(({ history }) => history))
      stopPolling = pollServers(() =>
        servers.getAll().map(({ history, scraper }) => ({
          history,
          collect: () => scraper.scrape(collection.timeoutMs),
        })),
      )
    },
    stop: () => {
      stopPolling()
      // When the connections to the servers have stopped, the rest of the histories is stored.
      stopStoring()
      page.close()
    },
  }
}

/** Loads the part of the page about checks from outside, which needs the folder `outside`. */
async function loadOutsideSection({ getChecks }: Outside) {
  const { createOutsideSection } = await import('./page/outside-section.js')
  return createOutsideSection(getChecks)
}

/**
 * Lists the problems of the exporter itself for the status page. Other people than the operator can read the page, and a
 * value in a configuration file can be a secret in the wrong place. So the values that a message quotes are masked, and so are
 * keys that are no known ones.
 */
function listNotices(reload: ReloadState, access: WebAccess | undefined): readonly string[] {
  const describe = (file: string, problem: string | undefined) =>
    problem === undefined
      ? []
      : [
          `The reload of the ${file} failed; the previous one stays in use. The reason: ` +
            maskKeys(maskQuoted(problem)),
        ]
  const certificate = findCertificateProblem(access?.getTls(), new Date())
  return [
    ...describe('configuration', reload.problem),
    ...describe('web configuration file', access?.getReloadState().problem),
    ...(certificate === undefined ? [] : [certificate]),
  ]
}

/** Creates the HTTP routes `/probe` and `/sd` for several servers, `/config` and `/-/reload`. */
function createServerRoutesFeature({ config, servers, reloader, outside }: Core): Feature {
  const { web, log, timeoutOffsetMs } = config
  return {
    addRoutes: (app, serve) => {
      addServerRoutes(app, serve, {
        timeoutOffsetMs,
        external: web.external,
        servers: {
          names: () => servers.getAll().map((server) => server.config.name),
          find: (name) => servers.get(name)?.scraper,
          debug: (name, waitMs) => traceExchange(servers.get(name)!, waitMs),
        },
        outside: outside?.probe,
        config: async () => {
          const { formatConfig } = await loadConfigFormat()
          return formatConfig({ ...reloader.getConfig(), web, log, timeoutOffsetMs })
        },
        reload: web.enableLifecycle ? reloader.reload : undefined,
      })
    },
  }
}

/** Creates the control sockets, through which `prosody-exporter doctor` queries this process. */
function createDoctorFeature(core: Core): Feature {
  const { config, deps, access, servers, reloader } = core
  const { log, version, owner, pid } = deps
  const find = (component: Component) =>
    servers.getAll().find(({ config }) => getSocketName(config.xmpp) === getSocketName(component))
  const sockets = createControlSockets({
    owner,
    log,
    components: () => reloader.getConfig().servers.map(({ xmpp }) => xmpp),
    answer: async (component, isShared) => {
      const tls = access?.getTls()
      const url = findPageUrl(config.web, tls !== undefined)
      const certificateProblem = findCertificateProblem(tls, new Date())
      const service = { version, pid, url, certificateProblem, isShared }
      return JSON.stringify(await diagnose(find(component), service))
    },
    sendTest: async (component) => {
      const server = find(component)
      const result = await (server && core.sendTest(server.config.name, TEST_DEADLINE_MS))
      if (!server || !result) {
        return JSON.stringify({ version, problem: describeMissingAlerts(component) })
      }
      const known = {
        rooms: reloader.getConfig().alerts?.rooms ?? [],
        hosts: await findVirtualHosts(server, result),
      }
      return JSON.stringify(createTestReport(version, result, known))
    },
  })
  return { applyConfig: () => sockets.apply(), close: () => sockets.close() }
}

/**
 * Returns the VirtualHosts of the server among the domains of the recipients; `undefined` if the server does not report
 * them.
 */
async function findVirtualHosts(
  { connection }: MonitoredServer,
  { delivered, rejected, pending }: DeliveryResult,
): Promise<ReadonlySet<string> | undefined> {
  const jids = [...delivered, ...[...rejected, ...pending].map(({ to }) => to)]
  try {
    return await askVirtualHosts(connection, [...new Set(jids.map(getDomain))])
  } catch {
    return undefined
  }
}

const describeMissingAlerts = ({ domain }: Component) =>
  `The running exporter sends no alerts through component "${domain}". If the configuration has alerts, restart the ` +
  'exporter: systemctl restart prosody-exporter'

/** Creates the web application with the telemetry path, the health checks, and the routes of the optional features. */
function createMetricsApp(core: Core, features: readonly Feature[], requestLog: Log): Hono {
  const { servers, reloader } = core
  const { web, timeoutOffsetMs } = core.config
  const overview = {
    collectors: [],
    scrape: () => Promise.resolve(createOverviewSnapshot(core)),
  }
  return createApp<Snapshot>({
    log: requestLog,
    telemetryPath: web.telemetryPath,
    routePrefix: web.routePrefix,
    externalPath: web.external.path,
    maxRequests: web.maxRequests,
    timeoutOffsetMs,
    current: () => servers.getOnly()?.scraper.findCached(),
    source: () => servers.getOnly()?.scraper ?? overview,
    filter: ({ families, filterByCollectors }, { names, collectors }) =>
      createExposition(collectors ? filterByCollectors(collectors) : families, {
        created: reloader.getConfig().exposition.created,
        ...(names && { names }),
      }),
    isFailure: ({ isUp }) => web.failWhenDown && !isUp,
    // Without XMPP servers, the exporter only checks domains from outside. It is ready when it listens.
    isReady: () =>
      reloader.getConfig().servers.length === 0 ||
      servers.getAll().some((server) => server.isReady()),
    addRoutes: (app, serve) => {
      for (const feature of features) feature.addRoutes?.(app, serve)
    },
  })
}

/**
 * Creates the snapshot that the telemetry path returns with several servers, or with none: the metrics about this process, and
 * `xmpp_up` of each server. A server that is down does not make the scrape of the telemetry path fail.
 */
function createOverviewSnapshot({ servers, reloader, exporterFamilies }: Core): Snapshot {
  const up = servers.getAll().map((server) => [server.config.name, Number(server.isUp())] as const)
  const families = [createUpFamily(up), ...exporterFamilies()]
  const { created } = reloader.getConfig().exposition
  return {
    isUp: true,
    families,
    exposition: createExposition(families, { created }),
    filterByCollectors: () => families,
  }
}

type Reloader = ReturnType<typeof createReloader>

/** Stores the current configuration and reloads it on request. Reloads run one after the other. */
function createReloader(
  initial: Config,
  { log, readConfig }: ExporterDependencies,
  servers: ServerSet,
  { applyConfig, onChange }: Pick<FeatureEvents, 'applyConfig' | 'onChange'>,
) {
  let current = initial
  let state: ReloadState = { isSuccessful: true, lastSuccessSeconds: Date.now() / 1000 }
  let isStopped = false
  const runInTurn = createTaskQueue()

  async function reloadNow(): Promise<boolean> {
    try {
      const config = await readConfig()
      if (isStopped) return false
      await servers.apply(config)
      current = config
      await applyConfig()
      state = { isSuccessful: true, lastSuccessSeconds: Date.now() / 1000 }
      log.info('configuration reloaded', { servers: config.servers.length })
    } catch (error) {
      if (!(error instanceof ConfigError)) throw error
      state = { ...state, isSuccessful: false, problem: error.message }
      log.error('configuration reload failed; keeping the previous configuration', {
        error: error.message,
      })
    }
    onChange()
    return state.isSuccessful
  }

  return {
    getConfig: () => current,
    getState: () => state,
    reload: () => runInTurn(reloadNow),
    /** Resolves when the running reload, if any, has ended. */
    waitForReload: () => runInTurn(() => Promise.resolve()),
    /** Makes later calls of `reload` change nothing. */
    stop: () => {
      isStopped = true
    },
  }
}
