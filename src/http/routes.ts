import type { HttpBindings } from '@hono/node-server'
import { Hono, type Context } from 'hono'
import type { Log } from '../log/log.js'
import type { Exposition } from '../exposition/exposition.js'
import {
  createResponses,
  headersOf,
  type ExpositionResponse,
  type Responses,
  type ResponseVariant,
} from './responses.js'
import { filteredOnce, readFilter, type Filter } from './scrape-filter.js'
import { createLimit } from './request-limit.js'
import { beforePrefix, belowPrefix } from './route-prefix.js'

// Prometheus's own default for scrape_timeout.
const DEFAULT_WAIT_MS = 10_000
const MAX_TIMEOUT_S = 600
const TIMEOUT_HEADER = 'X-Prometheus-Scrape-Timeout-Seconds'
const TEXT = 'text/plain; charset=utf-8'

/** Always resolves, at the latest after `waitMs`. */
export type Scrape<Snapshot> = (waitMs: number) => Promise<Snapshot>

export type ScrapeSource<Snapshot> = {
  readonly scrape: Scrape<Snapshot>
  /** Names that `collect[]` and `exclude[]` may have. */
  readonly collectors: readonly string[]
}

/** Answers a request with an exposition. */
export type Serve<Snapshot> = (c: Context, source: ScrapeSource<Snapshot>) => Promise<Response>

export type AppOptions<Snapshot extends { readonly exposition: Exposition }> = {
  readonly telemetryPath: string
  /** In front of every path, see `belowPrefix`. Default: none. */
  readonly routePrefix?: string
  /** The path by which readers reach the root. Default: the prefix. */
  readonly externalPath?: string
  /** Most scrapes of one source that wait at a time for one client's address; 0 for no limit. */
  readonly maxRequests: number
  readonly timeoutOffsetMs: number
  /** The snapshot that a scrape gets without waiting, if there is one. */
  readonly current: () => Snapshot | undefined
  readonly source: () => ScrapeSource<Snapshot>
  readonly filter: (snapshot: Snapshot, filter: Filter) => Exposition
  /** Whether the status of a snapshot is 503, with the same body. Default: never. */
  readonly isFailure?: (snapshot: Snapshot) => boolean
  readonly isReady: () => boolean
  /** Adds further routes; `serve` answers one of them with an exposition, as the telemetry path does. */
  readonly addRoutes?: (app: Hono, serve: Serve<Snapshot>) => void
  readonly log: Log
}

/**
 * The routes. Each answer is bytes with a plain record of headers, which @hono/node-server hands to
 * node:http as they are; a middleware that looks at the headers would cost half the throughput.
 */
export function createApp<Snapshot extends { readonly exposition: Exposition }>(
  options: AppOptions<Snapshot>,
): Hono {
  const { telemetryPath, routePrefix = '', timeoutOffsetMs, log } = options
  const app = new Hono(belowPrefix(routePrefix))
  const limit = createLimit(options.maxRequests)
  const responses = createResponses()
  const filtered = filteredOnce(options.filter)

  // Synchronous where the answer is there: then it goes out as a bare node:http server's would, at
  // little more than its cost (bench/served.ts); a promise each, and headers parsed anew, double it.
  app.get(telemetryPath, (c) => {
    const { incoming } = bindings(c)
    const current = (incoming?.url ?? c.req.url).includes('?') ? undefined : options.current()
    const ready = current && responses.find(current.exposition, variantFor(c, responses))
    return ready ? send(ready) : serve(c, options.source())
  })

  // promhttp's MaxRequestsInFlight, for each client. What is ready goes out at once and never counts.
  async function serve(c: Context, source: ScrapeSource<Snapshot>): Promise<Response> {
    const asked = c.req.queries()
    const filter = readFilter(
      { names: asked['name[]'], collect: asked['collect[]'], exclude: asked['exclude[]'] },
      source.collectors,
    )
    if (typeof filter === 'string') return text(400, filter)
    const client = bindings(c).incoming?.socket.remoteAddress ?? ''
    return (
      (await limit.run(source.scrape, client, () => answer(c, source.scrape, filter))) ??
      text(503, `Limit of concurrent requests reached (${options.maxRequests}), try again later.`)
    )
  }

  async function answer(c: Context, scrape: Scrape<Snapshot>, filter: Filter): Promise<Response> {
    const variant = variantFor(c, responses)
    const header = c.req.header(TIMEOUT_HEADER)
    const waitMs = readWaitMs(header, timeoutOffsetMs)
    if (header !== undefined && waitMs === undefined) {
      log.debug('ignored a scrape time-out that is no number of seconds', {
        value: header.slice(0, 40),
      })
    }
    const snapshot = await scrape(waitMs ?? DEFAULT_WAIT_MS)
    const isFiltered = filter.names !== undefined || filter.collectors !== undefined
    const exposition = isFiltered ? filtered(snapshot, filter) : snapshot.exposition
    const status = options.isFailure?.(snapshot) === true ? 503 : 200
    return send(
      responses.find(exposition, variant) ?? (await responses.build(exposition, variant, status)),
    )
  }

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

  const home = `${options.externalPath ?? routePrefix}/`
  for (const path of beforePrefix(routePrefix)) {
    app.get(path, () => text(302, `See ${home}`, { Location: home }))
  }

  // Here and not as app.all(path): a second handler for a path would slow each scrape.
  const methods = allowedMethods(app)
  app.notFound((c) => {
    const Allow = methods.get(c.req.path)
    if (Allow === undefined) return text(404, 'Not found.')
    return c.req.method === 'OPTIONS' ? optionsResponse(Allow) : methodNotAllowed(Allow)
  })
  app.onError((error, c) => {
    log.error('a request failed', { path: c.req.path, error: error.message })
    return text(500, 'Internal error, see the log.')
  })
  return app
}

/** The `Allow` header of each path. */
function allowedMethods(app: Hono): ReadonlyMap<string, string> {
  const methods = new Map<string, string[]>()
  for (const { path, method } of app.routes) {
    const known = methods.get(path) ?? []
    methods.set(path, [...known, ...(method === 'GET' ? ['GET', 'HEAD'] : [method])])
  }
  return new Map(Array.from(methods, ([path, known]) => [path, [...known, 'OPTIONS'].join(', ')]))
}

const methodNotAllowed = (Allow: string) => text(405, 'Method not allowed.', { Allow })

// RFC 9110 §8.6: no Content-Length with 204.
const optionsResponse = (Allow: string) =>
  new Response(null, { status: 204, headers: { Allow, 'Cache-Control': 'no-store' } })

/** How long an answer to this request may take. */
export function waitMsOf(c: Context, offsetMs: number): number {
  return readWaitMs(c.req.header(TIMEOUT_HEADER), offsetMs) ?? DEFAULT_WAIT_MS
}

// node:http has these as they are; Hono would make a URL and all the Headers for them. There is no
// node:http under app.request().
export const bindings = (c: Context) => (c.env as Partial<HttpBindings> | undefined) ?? {}

function variantFor(c: Context, responses: Responses): ResponseVariant {
  const { incoming } = bindings(c)
  return incoming
    ? responses.variantOf(incoming.headers.accept, incoming.headers['accept-encoding']?.toString())
    : responses.variantOf(c.req.header('Accept'), c.req.header('Accept-Encoding'))
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

export function respond(
  status: number,
  bytes: Uint8Array<ArrayBuffer>,
  contentType: string,
  headers: Record<string, string>,
): Response {
  return new Response(bytes, { status, headers: headersOf(bytes, contentType, headers) })
}

function send({ status, bytes, headers }: ExpositionResponse): Response {
  return new Response(bytes, { status, headers })
}
