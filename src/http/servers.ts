import type { Context, Hono } from 'hono'
import { respond, text, waitMsOf, type Scrape } from './app.js'

export type ServersOptions<Snapshot> = {
  readonly timeoutOffsetMs: number
  /** Names of the servers that there are. */
  readonly names: () => readonly string[]
  /** A scrape of that server; `undefined`: there is none of that name. */
  readonly probe: (name: string) => Scrape<Snapshot> | undefined
  /** The exchange of one collection, as text. */
  readonly debug: (name: string, waitMs: number) => Promise<string>
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
  serve: (c: Context, scrape: Scrape<Snapshot>) => Promise<Response>,
  { timeoutOffsetMs, names, probe, debug, reload }: ServersOptions<Snapshot>,
): void {
  app.get('/probe', async (c) => {
    const target = c.req.query('target') ?? ''
    const scrape = probe(target)
    if (scrape === undefined) {
      return text(400, 'Wrong target: expected ?target= and the name of a configured server.')
    }
    if (c.req.query('debug') !== 'true') return serve(c, scrape)
    return text(200, await debug(target, waitMsOf(c, timeoutOffsetMs)))
  })

  // With these labels Prometheus needs no relabeling: it asks each target by its own path and parameter.
  app.get('/sd', (c) => {
    const address = hostOf(c)
    if (address === undefined) return text(400, 'Wrong Host header: expected host[:port].')
    const groups = names().map((name) => ({
      targets: [address],
      labels: { __metrics_path__: '/probe', __param_target: name, instance: name },
    }))
    return respond(200, Buffer.from(JSON.stringify(groups)), 'application/json', {})
  })

  app.all('/-/reload', async (c) => {
    if (c.req.method !== 'POST' && c.req.method !== 'PUT') {
      return text(405, 'Method not allowed.', { Allow: 'POST, PUT' })
    }
    if (!reload) return text(403, 'Not enabled: start with --web.enable-lifecycle.')
    return (await reload())
      ? text(200, 'The configuration was read anew.')
      : text(500, 'The configuration could not be read, see the log; the one before goes on.')
  })
}

/** Where Prometheus found us: it will find the targets there too. */
export function hostOf(c: Context): string | undefined {
  const host = c.req.header('Host') ?? ''
  return /^(?:\[[\da-fA-F:.]+\]|[\w.-]+)(?::\d{1,5})?$/.test(host) ? host : undefined
}
