import { Hono, type Context } from 'hono'
import type { Log } from '../log.js'
import type { Exposition } from '../metrics/exposition.js'
import { acceptsGzip, negotiate } from '../metrics/negotiate.js'
import { landingPage } from './landing.js'

// Prometheus's own default for scrape_timeout.
const DEFAULT_WAIT_MS = 10_000
const MAX_TIMEOUT_S = 600
const TIMEOUT_HEADER = 'X-Prometheus-Scrape-Timeout-Seconds'
const TEXT = 'text/plain; charset=utf-8'

/** Always resolves, at the latest after `waitMs`. */
export type Scrape<Snapshot> = (waitMs: number) => Promise<Snapshot>

export type AppOptions<Snapshot extends { readonly exposition: Exposition }> = {
  readonly version: string
  readonly telemetryPath: string
  readonly timeoutOffsetMs: number
  readonly scrape: Scrape<Snapshot>
  readonly filter: (snapshot: Snapshot, names: ReadonlySet<string>) => Exposition
  readonly isReady: () => boolean
  /** Adds further routes; `serve` answers one of them with an exposition, as the telemetry path does. */
  readonly addRoutes?: (
    app: Hono,
    serve: (c: Context, scrape: Scrape<Snapshot>) => Promise<Response>,
  ) => void
  readonly log: Log
}

/**
 * The routes. Each answer is bytes with a plain record of headers, which @hono/node-server hands to
 * node:http as they are; a middleware that looks at the headers would cost half the throughput.
 */
export function createApp<Snapshot extends { readonly exposition: Exposition }>(
  options: AppOptions<Snapshot>,
): Hono {
  const { telemetryPath, timeoutOffsetMs, log } = options
  const app = new Hono()

  async function serve(c: Context, scrape: Scrape<Snapshot>): Promise<Response> {
    const header = c.req.header(TIMEOUT_HEADER)
    const waitMs = readWaitMs(header, timeoutOffsetMs)
    if (header !== undefined && waitMs === undefined) {
      log.debug('ignored a scrape time-out that is no number of seconds', {
        value: header.slice(0, 40),
      })
    }
    const snapshot = await scrape(waitMs ?? DEFAULT_WAIT_MS)
    const names = c.req.queries('name[]')
    const exposition =
      names === undefined ? snapshot.exposition : options.filter(snapshot, new Set(names))
    const { format, contentType } = negotiate(c.req.header('Accept'))
    const zipped = acceptsGzip(c.req.header('Accept-Encoding'))
    const bytes = zipped ? await exposition.gzip(format) : await exposition.bytes(format)
    return respond(200, bytes, contentType, {
      ...(zipped && { 'Content-Encoding': 'gzip' }),
      Vary: 'Accept, Accept-Encoding',
    })
  }

  app.get(telemetryPath, (c) => serve(c, options.scrape))
  options.addRoutes?.(app, serve)
  app.get('/-/healthy', () => text(200, 'Prosody Exporter is healthy.'))
  app.get('/-/ready', () =>
    options.isReady()
      ? text(200, 'Prosody Exporter is ready.')
      : text(
          503,
          'Prosody Exporter is not ready: no stream to Prosody, or no collection has succeeded yet.',
        ),
  )
  if (telemetryPath !== '/') {
    const page = Buffer.from(landingPage(options.version, telemetryPath))
    app.get('/', () =>
      respond(200, page, 'text/html; charset=utf-8', {
        'Content-Security-Policy': "default-src 'none'",
      }),
    )
  }

  // Here and not as app.all(path): a second handler for a path would slow each scrape.
  const paths = new Set(app.routes.map((route) => route.path))
  app.notFound((c) =>
    paths.has(c.req.path)
      ? text(405, 'Method not allowed.', { Allow: 'GET, HEAD' })
      : text(404, 'Not found.'),
  )
  app.onError((error, c) => {
    log.error('a request failed', { path: c.req.path, error: error.message })
    return text(500, 'Internal error, see the log.')
  })
  return app
}

/** How long an answer to this request may take. */
export function waitMsOf(c: Context, offsetMs: number): number {
  return readWaitMs(c.req.header(TIMEOUT_HEADER), offsetMs) ?? DEFAULT_WAIT_MS
}

/**
 * How long a scrape may wait, by Prometheus's own time-out: that less the offset, and at least half
 * of it. `undefined` without the header, or when it is not a number between 0 and 600 s.
 */
export function readWaitMs(header: string | undefined, offsetMs: number): number | undefined {
  if (header === undefined || !/^\d{1,9}(?:\.\d{1,18})?$/.test(header)) return undefined
  const seconds = Number(header)
  if (seconds === 0 || seconds > MAX_TIMEOUT_S) return undefined
  return Math.max(seconds * 1000 - offsetMs, seconds * 500)
}

export function text(status: number, line: string, headers: Record<string, string> = {}): Response {
  return respond(status, Buffer.from(`${line}\n`), TEXT, headers)
}

// Content-Length is set for HEAD, which gets these headers without the body.
export function respond(
  status: number,
  bytes: Uint8Array<ArrayBuffer>,
  contentType: string,
  headers: Record<string, string>,
): Response {
  return new Response(bytes, {
    status,
    headers: {
      'Content-Type': contentType,
      'Content-Length': String(bytes.byteLength),
      'Cache-Control': 'no-store',
      'X-Content-Type-Options': 'nosniff',
      ...headers,
    },
  })
}
