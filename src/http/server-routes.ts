import type { Context, Hono } from 'hono'
import { getBindings, respond, respondText, type Serve, type ScrapeSource } from './routes.js'
import { getWaitMs } from './scrape-deadline.js'

// A request with `debug=true` always starts a collection, even if the latest snapshot is recent. So each server
// accepts only one such request per second.
const DEBUG_INTERVAL_MS = 1000

export type ServersOptions<Snapshot> = {
  readonly timeoutOffsetMs: number
  /**
   * The origin and path of --web.external-url. If `origin` is undefined, /sd uses the host and scheme of the
   * request.
   */
  readonly external: { readonly origin: string | undefined; readonly path: string }
  /** Returns the names of the configured servers. */
  readonly names: () => readonly string[]
  /** Returns the source of snapshots of a server; `undefined` if no server has this name. */
  readonly probe: (name: string) => ScrapeSource<Snapshot> | undefined
  /** Starts a collection from a server, and returns as text all stanzas that it sent and received. */
  readonly debug: (name: string, waitMs: number) => Promise<string>
  /** Returns the running configuration as YAML, without secrets. */
  readonly config: () => Promise<string>
  /**
   * Reloads the configuration and returns whether that succeeded; `undefined` without --web.enable-lifecycle.
   */
  readonly reload: (() => Promise<boolean>) | undefined
}

/**
 * Adds the routes /probe, /sd, /config and /-/reload. The first two are useful with several servers.
 *
 * @see https://prometheus.io/docs/guides/multi-target-exporter/
 * @see https://prometheus.io/docs/prometheus/latest/http_sd/
 */
export function addServerRoutes<Snapshot>(
  app: Hono,
  serve: Serve<Snapshot>,
  { timeoutOffsetMs, external, names, probe, debug, config, reload }: ServersOptions<Snapshot>,
): void {
  const debuggedAtMs = new Map<string, number>()

  app.get('/probe', async (c) => {
    const target = c.req.query('target') ?? ''
    const source = probe(target)
    if (source === undefined) {
      return respondText(
        400,
        'Wrong target: expected ?target=NAME with the name of a configured server. /sd lists the names.',
      )
    }
    if (c.req.query('debug') !== 'true') return serve(c, source)
    const now = performance.now()
    if (now - (debuggedAtMs.get(target) ?? -Infinity) < DEBUG_INTERVAL_MS) {
      return respondText(
        503,
        'Too many requests: debug=true is limited to one request per second for each server. Try again later.',
        { 'Retry-After': '1' },
      )
    }
    debuggedAtMs.set(target, now)
    return respondText(200, await debug(target, getWaitMs(c, timeoutOffsetMs)))
  })

  // The labels give each target its path and its parameter `target`, so that Prometheus needs no relabeling.
  app.get('/sd', (c) => {
    const origin = external.origin === undefined ? undefined : new URL(external.origin)
    const address = origin?.host ?? getRequestHost(c)
    // A host that matches the pattern of `getRequestHost` can be invalid, for example `xn--a`.
    if (address === undefined || !URL.canParse(c.req.url))
      return respondText(400, 'Wrong Host header: expected host[:port].')
    // If this request came over TLS, Prometheus must use TLS for the targets too.
    const { protocol } = origin ?? new URL(c.req.url)
    const groups = names().map((name) => ({
      targets: [address],
      labels: {
        ...((origin ?? protocol === 'https:') && { __scheme__: protocol.slice(0, -1) }),
        __metrics_path__: `${external.path}/probe`,
        __param_target: name,
        instance: name,
      },
    }))
    return respond(200, Buffer.from(JSON.stringify(groups)), 'application/json', {})
  })

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
