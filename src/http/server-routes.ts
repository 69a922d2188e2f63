import type { Context, Hono } from 'hono'
import { bindings, respond, text, waitMsOf, type Serve, type ScrapeSource } from './routes.js'

// For people. It asks the server whatever the age of the last collection, which `min_age` is to bound.
const DEBUG_EVERY_MS = 1000

export type ServersOptions<Snapshot> = {
  readonly timeoutOffsetMs: number
  /** Where readers find us, if it is not where they ask. */
  readonly external: { readonly origin: string | undefined; readonly path: string }
  /** Names of the servers that there are. */
  readonly names: () => readonly string[]
  /** A scrape of that server; `undefined`: there is none of that name. */
  readonly probe: (name: string) => ScrapeSource<Snapshot> | undefined
  /** The exchange of one collection, as text. */
  readonly debug: (name: string, waitMs: number) => Promise<string>
  /** The configuration that runs, without secrets. */
  readonly config: () => string
  /** Whether the configuration could be read; `undefined`: not to be asked for here. */
  readonly reload: (() => Promise<boolean>) | undefined
}

/**
 * The routes for several servers: one at a time, which there are, and reading the configuration anew.
 *
 * @see https://prometheus.io/docs/guides/multi-target-exporter/
 * @see https://prometheus.io/docs/prometheus/latest/http_sd/
 */
export function addServerRoutes<Snapshot>(
  app: Hono,
  serve: Serve<Snapshot>,
  { timeoutOffsetMs, external, names, probe, debug, config, reload }: ServersOptions<Snapshot>,
): void {
  const debugged = new Map<string, number>()

  app.get('/probe', async (c) => {
    const target = c.req.query('target') ?? ''
    const source = probe(target)
    if (source === undefined) {
      return text(400, 'Wrong target: expected ?target= and the name of a configured server.')
    }
    if (c.req.query('debug') !== 'true') return serve(c, source)
    const now = performance.now()
    if (now - (debugged.get(target) ?? -Infinity) < DEBUG_EVERY_MS) {
      return text(503, 'One exchange a second is shown, try again.', { 'Retry-After': '1' })
    }
    debugged.set(target, now)
    return text(200, await debug(target, waitMsOf(c, timeoutOffsetMs)))
  })

  // With these labels Prometheus needs no relabeling: it asks each target by its own path and parameter.
  app.get('/sd', (c) => {
    const origin = external.origin === undefined ? undefined : new URL(external.origin)
    const address = origin?.host ?? hostOf(c)
    // A host can look right and still be none, for example `xn--a`.
    if (address === undefined || !URL.canParse(c.req.url))
      return text(400, 'Wrong Host header: expected host[:port].')
    // Whoever asked over TLS finds the targets there too.
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

  app.get('/config', () => respond(200, Buffer.from(config()), 'text/yaml; charset=utf-8', {}))

  app.on(['POST', 'PUT'], '/-/reload', async () => {
    if (!reload) return text(403, 'Not enabled: start with --web.enable-lifecycle.')
    return (await reload())
      ? text(200, 'The configuration was read anew.')
      : text(500, 'The configuration could not be read, see the log; the one before goes on.')
  })
}

/**
 * Where Prometheus reached the exporter, `host[:port]`: it reaches the targets there, too. HTTP/2 has
 * a pseudo-header in place of Host (RFC 9113 §8.3.1).
 */
export function hostOf(c: Context): string | undefined {
  const { incoming } = bindings(c)
  const host = incoming
    ? (incoming.headers[':authority']?.toString() ?? incoming.headers.host)
    : c.req.header('Host')
  return /^(?:\[[\da-fA-F:.]+\]|[\w.-]+)(?::\d{1,5})?$/.test(host ?? '') ? host : undefined
}
