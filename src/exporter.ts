import { COLLECTORS } from './collectors/index.js'
import type { Config } from './config/read-config.js'
import { formatConfig } from './config/format-config.js'
import { createControlSockets } from './control/control-sockets.js'
import { socketName, type Component, type Owner } from './control/socket-directories.js'
import { traceExchange } from './servers/exchange-trace.js'
import { diagnose } from './cli/doctor/diagnose.js'
import { ConfigError } from './errors.js'
import { pollServers } from './history/history.js'
import { createApp } from './http/routes.js'
import { createStatusPage } from './page/page.js'
import { connectionsFor, listen, type Listener } from './http/listener.js'
import { addServerRoutes } from './http/server-routes.js'
import { withFields, type Log } from './log/log.js'
import { limitRepeats } from './log/log-limit.js'
import { createExposition } from './exposition/exposition.js'
import { processFamilies, upFamily, type ProcessUsage } from './metrics/own-families.js'
import { prometheusJobs } from './servers/prometheus-job.js'
import { createMonitoredServer } from './servers/monitored-server.js'
import { createServerSet } from './servers/server-set.js'
import type { Snapshot } from './scrape/snapshot.js'
import { createAccessGate, webFamilies } from './access/access-gate.js'
import { createWebAccess } from './access/access.js'

export type Exporter = {
  /** Listens and begins to connect; the servers need not be there yet. */
  start(): Promise<void>
  /** Reads the configuration anew: false, and all goes on as it was, when it is wrong. */
  reload(): Promise<boolean>
  /** Ends requests under way within `graceMs`, then the streams; nothing is left. */
  stop(graceMs: number): Promise<void>
}

/** The whole program: servers, each connection ── collectors ── scraper (snapshot), ── app ── Prometheus. */
export function createExporter(
  config: Config,
  deps: {
    log: Log
    version: string
    readProcessUsage: () => ProcessUsage
    umask: (mask: number) => number
    /** @throws ConfigError */
    readConfig: () => Promise<Config>
    /** Whose doctor may ask this process. */
    owner: Owner
    pid: number
  },
): Exporter {
  const { log, version, readProcessUsage, umask, readConfig, owner, pid } = deps
  const { web } = config
  // Of what a client can make happen with each request.
  const requestLog = limitRepeats(log)
  let running = config
  let isStopping = false
  let reloads = { isSuccessful: true, lastSuccessSeconds: Date.now() / 1000 }
  let reloading: Promise<unknown> = Promise.resolve()
  let listener: Listener | undefined

  const gate = web.configFile && createWebAccess(web.configFile, log)
  const own = () => [
    ...processFamilies(
      version,
      web.disableExporterMetrics ? undefined : readProcessUsage(),
      reloads,
    ),
    ...(gate ? webFamilies(gate.state()) : []),
  ]
  const servers = createServerSet((server, shared) =>
    createMonitoredServer(server, shared, {
      version,
      log: withFields(log, () => (servers.only() ? {} : { server: server.name })),
      // With several servers what concerns the process is at the telemetry path, once.
      own: () => (servers.only() ? own() : []),
      onReading: () => {
        page.changed()
      },
    }),
  )
  const controls = createControlSockets({
    owner,
    log,
    components: () => running.servers.map(({ xmpp }) => xmpp),
    answer: async (component) => JSON.stringify(await diagnose(find(component), { version, pid })),
  })
  const find = (component: Component) =>
    servers.all().find(({ config }) => socketName(config.xmpp) === socketName(component))
  const ourselves = { collectors: [], scrape: () => Promise.resolve(overview()) }
  const page = createStatusPage({
    version,
    telemetryPath: web.telemetryPath,
    servers: () => servers.all().map(({ config: { name }, history }) => ({ name, history })),
    sources: COLLECTORS,
    job: (target) =>
      prometheusJobs(
        { servers: servers.all().map((each) => each.config), web },
        target,
        web.external.path,
        { isEncrypted: gate?.tls !== undefined },
      ),
  })
  const hasPage = web.telemetryPath !== '/'
  let endHistories = () => {}
  const app = createApp({
    log: requestLog,
    telemetryPath: web.telemetryPath,
    routePrefix: web.routePrefix,
    externalPath: web.external.path,
    maxRequests: web.maxRequests,
    timeoutOffsetMs: config.timeoutOffsetMs,
    current: () => servers.only()?.scraper.current(),
    source: () => servers.only()?.scraper ?? ourselves,
    filter: ({ families, ofCollectors }, { names, collectors }) =>
      createExposition(collectors ? ofCollectors(collectors) : families, {
        created: running.exposition.created,
        ...(names && { names }),
      }),
    isFailure: ({ up }) => web.failWhenDown && !up,
    isReady: () => servers.all().some((server) => server.isReady()),
    addRoutes: (hono, serve) => {
      if (hasPage) page.addTo(hono)
      addServerRoutes(hono, serve, {
        timeoutOffsetMs: config.timeoutOffsetMs,
        external: web.external,
        names: () => servers.all().map((server) => server.config.name),
        probe: (name) => servers.get(name)?.scraper,
        debug: (name, waitMs) => traceExchange(servers.get(name)!, waitMs),
        // What concerns the process is as it was at the start.
        config: () =>
          formatConfig({
            ...running,
            web,
            log: config.log,
            timeoutOffsetMs: config.timeoutOffsetMs,
          }),
        reload: web.enableLifecycle ? reload : undefined,
      })
    },
  })

  /** Of several servers: ourselves, and which of them answer. One that is down is no failure of all. */
  function overview(): Snapshot {
    const up = servers.all().map((each) => [each.config.name, Number(each.isUp())] as const)
    const families = [upFamily(up), ...own()]
    const { created } = running.exposition
    return {
      up: true,
      families,
      exposition: createExposition(families, { created }),
      ofCollectors: () => families,
    }
  }

  async function reload(): Promise<boolean> {
    // One at a time.
    const now = reloading.then(async () => {
      try {
        const read = await readConfig()
        if (isStopping) return false
        await servers.apply(read)
        running = read
        await controls.apply()
        reloads = { isSuccessful: true, lastSuccessSeconds: Date.now() / 1000 }
        log.info('configuration read anew', { servers: servers.all().length })
      } catch (error) {
        if (!(error instanceof ConfigError)) throw error
        reloads = { ...reloads, isSuccessful: false }
        log.error('configuration not read anew, the one before goes on', { error: error.message })
      }
      return reloads.isSuccessful
    })
    reloading = now.catch(() => undefined)
    return now
  }

  return {
    async start() {
      // Meanwhile, for with a thousand servers it takes a second.
      const opening = controls.apply()
      try {
        listener = await listen(app, config.web.listenAddresses, requestLog, {
          gate: gate && createAccessGate(gate),
          socketAccess: { ...web.socketAccess, umask },
          maxConnections: connectionsFor(readProcessUsage().maxFds),
        })
      } catch (error) {
        await controls.close()
        throw error
      }
      // What a reload read while we began to listen is newer.
      await servers.apply(running)
      await opening
      if (!hasPage) return
      endHistories = pollServers(() =>
        servers.all().map(({ history, scraper }) => ({
          history,
          collect: () => scraper.scrape(config.collection.timeoutMs),
        })),
      )
    },
    reload,
    async stop(graceMs) {
      isStopping = true
      endHistories()
      page.close()
      await listener?.close(graceMs)
      await gate?.stop()
      await reloading
      await servers.stop()
      await controls.close()
    },
  }
}
