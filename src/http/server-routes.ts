import type { Context, Hono } from 'hono'
import { getBindings, respond, respondText, type Serve, type ScrapeSource } from './routes.js'
import { getWaitMs } from './scrape-deadline.js'

// A request with `debug=true` always starts a collection, even if the latest snapshot is recent. So each server
// accepts only one such request per second.
const DEBUG_INTERVAL_MS = 1000

/** What `/probe` and `/sd` serve with one value of the parameter `module`. */
export type ProbeModule<Snapshot> = {
  /** Returns the values that the parameter `target` can have. */
  readonly names: () => readonly string[]
  /** Returns the source of snapshots of a target; `undefined` if there is no such target. */
  readonly find: (target: string) => ScrapeSource<Snapshot> | undefined
  /** Returns as text for people how a new snapshot of the target came about. */
  readonly debug: (target: string, waitMs: number) => Promise<string>
}

export type ServersOptions<Snapshot> = {
  readonly timeoutOffsetMs: number
  /**
   * The origin and path of --web.external-url. If `origin` is undefined, /sd uses the host and scheme of the
   * request.
   */
  readonly external: { readonly origin: string | undefined; readonly path: string }
  /** The configured servers, without the parameter `module`. */
  readonly servers: ProbeModule<Snapshot>
  /** The configured domains, with `module=outside`; `undefined` if the exporter does not check domains from outside. */
  readonly outside: ProbeModule<Snapshot> | undefined
  /** Returns the running configuration as YAML, without secrets. */
  readonly config: () => Promise<string>
  /**
   * Reloads the configuration and returns whether that succeeded; `undefined` without --web.enable-lifecycle.
   */
  readonly reload: (() => Promise<boolean>) | undefined
}

/**
 * Adds the routes /probe, /sd, /config and /-/reload. The first two are useful with several servers, and for checks from
 * outside.
 *
 * @see https://prometheus.io/docs/guides/multi-target-exporter/
 * @see https://prometheus.io/docs/prometheus/latest/http_sd/
 */
export function addServerRoutes<Snapshot>(
  app: Hono,
  serve: Serve<Snapshot>,
  options: ServersOptions<Snapshot>,
): void {
  const { config, reload } = options
  addProbeRoute(app, serve, options)
  addDiscoveryRoute(app, options)

  app.get('/config', async () =>
    respond(200, Buffer.from(await config()), 'text/yaml; charset=utf-8', {}),
  )

  app.on(['POST', 'PUT'], '/-/reload', async () => {
    if (!reload)
      return respondText(
        403,
        'Reloading over HTTP is not enabled. Start the exporter with --web.enable-lifecycle.',
      )
    return (await reload())
      ? respondText(200, 'Configuration reloaded.')
      : respondText(
          500,
          'Reload failed; keeping the previous configuration. See the log of the exporter.',
        )
  })
}

// The value of the parameter `module` for checks from outside. The parameter has the same name in blackbox_exporter.
const OUTSIDE = 'outside'

/** Returns what the parameter `module` selects, or the text of the response if its value is wrong. */
function selectModule<Snapshot>(
  c: Context,
  { servers, outside }: Pick<ServersOptions<Snapshot>, 'servers' | 'outside'>,
): ProbeModule<Snapshot> | string {
  const name = c.req.query('module')
  if (name === undefined) return servers
  if (name !== OUTSIDE) return `Wrong module: expected module=${OUTSIDE}, or no module.`
  return (
    outside ??
    'Wrong module: the exporter checks no domains from outside. Add domains to the section outside of its configuration, and restart it.'
  )
}

function addProbeRoute<Snapshot>(
  app: Hono,
  serve: Serve<Snapshot>,
  options: ServersOptions<Snapshot>,
): void {
  // A target can have several spellings, so the text of the request is no key.
  const debuggedAtMs = new WeakMap<ScrapeSource<Snapshot>, number>()

  app.get('/probe', async (c) => {
    const selected = selectModule(c, options)
    if (typeof selected === 'string') return respondText(400, selected)
    const target = c.req.query('target') ?? ''
    const source = selected.find(target)
    if (source === undefined) {
      return respondText(
        400,
        selected === options.servers
          ? 'Wrong target: expected ?target=NAME with the name of a configured server. /sd lists the names.'
          : 'Wrong target: expected ?target=DOMAIN with a domain that the exporter checks from outside. /sd?module=outside lists the domains.',
      )
    }
    if (c.req.query('debug') !== 'true') return serve(c, source)
    const now = performance.now()
    if (now - (debuggedAtMs.get(source) ?? -Infinity) < DEBUG_INTERVAL_MS) {
      return respondText(
        503,
        'Too many requests: debug=true is limited to one request per second for each server or domain. Try again later.',
        { 'Retry-After': '1' },
      )
    }
    debuggedAtMs.set(source, now)
    return respondText(200, await selected.debug(target, getWaitMs(c, options.timeoutOffsetMs)))
  })
}

function addDiscoveryRoute<Snapshot>(app: Hono, options: ServersOptions<Snapshot>): void {
  const { external } = options

  // The labels give each target its path and its parameter `target`, so that Prometheus needs no relabeling.
  app.get('/sd', (c) => {
    const selected = selectModule(c, options)
    if (typeof selected === 'string') return respondText(400, selected)
    const origin = external.origin === undefined ? undefined : new URL(external.origin)
    const address = origin?.host ?? getRequestHost(c)
    // A host that matches the pattern of `getRequestHost` can be invalid, for example `xn--a`.
    if (address === undefined || !URL.canParse(c.req.url))
      return respondText(400, 'Wrong Host header: expected host[:port].')
    // If this request came over TLS, Prometheus must use TLS for the targets too.
    const { protocol } = origin ?? new URL(c.req.url)
    const groups = selected.names().map((name) => ({
      targets: [address],
      labels: {
        ...((origin ?? protocol === 'https:') && { __scheme__: protocol.slice(0, -1) }),
        __metrics_path__: `${external.path}/probe`,
        ...(c.req.query('module') !== undefined && { __param_module: OUTSIDE }),
        __param_target: name,
        instance: name,
      },
    }))
    return respond(200, Buffer.from(JSON.stringify(groups)), 'application/json', {})
  })
}

/**
 * Returns the `host[:port]` at which the client reached the exporter; `undefined` if the Host header does not have
 * this form. HTTP/2 has the pseudo-header `:authority` instead of Host (RFC 9113 §8.3.1).
 */
export function getRequestHost(c: Context): string | undefined {
  const { incoming } = getBindings(c)
  const host = incoming
    ? (incoming.headers[':authority']?.toString() ?? incoming.headers.host)
    : c.req.header('Host')
  return /^(?:\[[\da-fA-F:.]+\]|[\w.-]+)(?::\d{1,5})?$/.test(host ?? '') ? host : undefined
}
