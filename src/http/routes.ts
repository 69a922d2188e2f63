import type { HttpBindings } from '@hono/node-server'
import { Hono, type Context } from 'hono'
import type { Log } from '../log/log.js'
import type { Exposition } from '../exposition/exposition.js'
import {
  createResponses,
  createHeaders,
  type ExpositionResponse,
  type Responses,
  type ResponseVariant,
} from './responses.js'
import { DEFAULT_WAIT_MS, readWaitMs, TIMEOUT_HEADER } from './scrape-deadline.js'
import { cacheFilterResults, readFilter, type Filter } from './scrape-filter.js'
import { createRequestLimit } from './request-limit.js'
import { listRedirectPaths, createPrefixOptions } from './route-prefix.js'

const TEXT = 'text/plain; charset=utf-8'

/** Returns a snapshot within `waitMs`. The promise never rejects. */
export type Scrape<Snapshot> = (waitMs: number) => Promise<Snapshot>

export type ScrapeSource<Snapshot> = {
  readonly scrape: Scrape<Snapshot>
  /** The names of the collectors that the query parameters `collect[]` and `exclude[]` accept. */
  readonly collectors: readonly string[]
}

/** Responds to a request with an exposition of the snapshot that `source` returns. */
export type Serve<Snapshot> = (c: Context, source: ScrapeSource<Snapshot>) => Promise<Response>

export type AppOptions<Snapshot extends { readonly exposition: Exposition }> = {
  readonly telemetryPath: string
  /** The prefix of every path, from --web.route-prefix. By default, paths have no prefix. */
  readonly routePrefix?: string
  /**
   * The path at which clients reach the root of the app, for example behind a reverse proxy. Default:
   * `routePrefix`.
   */
  readonly externalPath?: string
  /** The maximum number of concurrent scrapes of a source by one client address. 0 means no limit. */
  readonly maxRequests: number
  /** How much earlier than the scrape timeout of Prometheus the exporter responds, in milliseconds. */
  readonly timeoutOffsetMs: number
  /** Returns the latest snapshot if it is recent enough to be served without a new collection. */
  readonly current: () => Snapshot | undefined
  readonly source: () => ScrapeSource<Snapshot>
  /** Returns the exposition of the part of the snapshot that the filter selects. */
  readonly filter: (snapshot: Snapshot, filter: Filter) => Exposition
  /**
   * Whether the response with this snapshot has status 503 instead of 200. By default, the status is always
   * 200.
   */
  readonly isFailure?: (snapshot: Snapshot) => boolean
  readonly isReady: () => boolean
  /**
   * Adds routes to the app. These routes can call `serve` to respond with an exposition, like the telemetry
   * path.
   */
  readonly addRoutes?: (app: Hono, serve: Serve<Snapshot>) => void
  readonly log: Log
}

/**
 * Creates the app with all routes. The body of a response with content is bytes, except for event streams. Its
 * headers are a plain object, which the library @hono/node-server passes to node:http unchanged. A middleware that
 * reads the headers of responses would halve the throughput.
 */
export function createApp<Snapshot extends { readonly exposition: Exposition }>(
  options: AppOptions<Snapshot>,
): Hono {
  const { telemetryPath, routePrefix = '', timeoutOffsetMs, log } = options
  const app = new Hono(createPrefixOptions(routePrefix))
  const limit = createRequestLimit(options.maxRequests)
  const responses = createResponses()
  const filtered = cacheFilterResults(options.filter)

  // This handler returns a cached response without a promise. A cached response takes little more time than in
  // a server of node:http alone, see bench/served.ts. A promise for each response would double this time.
  app.get(telemetryPath, (c) => {
    const { incoming } = getBindings(c)
    const current = (incoming?.url ?? c.req.url).includes('?') ? undefined : options.current()
    const ready = current && responses.find(current.exposition, chooseVariantFor(c, responses))
    return ready ? send(ready) : serve(c, options.source())
  })

  // `maxRequests` limits the concurrent scrapes of each client. MaxRequestsInFlight of promhttp limits those of all
  // clients together. Cached responses do not count.
  async function serve(c: Context, source: ScrapeSource<Snapshot>): Promise<Response> {
    const asked = c.req.queries()
    const filter = readFilter(
      { names: asked['name[]'], collect: asked['collect[]'], exclude: asked['exclude[]'] },
      source.collectors,
    )
    if (typeof filter === 'string') return respondText(400, filter)
    const client = getBindings(c).incoming?.socket.remoteAddress ?? ''
    return (
      (await limit.run(source.scrape, client, () => respondToScrape(c, source.scrape, filter))) ??
      respondText(
        503,
        `Limit of concurrent requests reached: --web.max-requests allows ${options.maxRequests} from each address. Try again later.`,
      )
    )
  }

  async function respondToScrape(
    c: Context,
    scrape: Scrape<Snapshot>,
    filter: Filter,
  ): Promise<Response> {
    const variant = chooseVariantFor(c, responses)
    const header = c.req.header(TIMEOUT_HEADER)
    const waitMs = readWaitMs(header, timeoutOffsetMs)
    if (header !== undefined && waitMs === undefined) {
      log.debug(`ignored an invalid ${TIMEOUT_HEADER} header`, {
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
  addHealthRoutes(app, options.isReady)
  addFallbacks(app, options)
  return app
}

function addHealthRoutes(app: Hono, isReady: () => boolean): void {
  app.get('/-/healthy', () => respondText(200, 'Prosody Exporter is healthy.'))
  app.get('/-/ready', () =>
    isReady()
      ? respondText(200, 'Prosody Exporter is ready.')
      : respondText(
          503,
          'Prosody Exporter is not ready: no connection to Prosody, or no successful collection yet. ' +
            'See the log, or run "prosody-exporter doctor".',
        ),
  )
}

/**
 * Adds redirects to the root, and the responses to unsupported methods, unknown paths and unexpected errors.
 */
function addFallbacks(
  app: Hono,
  options: Pick<AppOptions<never>, 'telemetryPath' | 'routePrefix' | 'externalPath' | 'log'>,
): void {
  const { telemetryPath, routePrefix = '', externalPath = routePrefix, log } = options
  const home = `${externalPath}/`
  for (const path of listRedirectPaths(routePrefix)) {
    app.get(path, () => respondText(302, `See ${home}`, { Location: home }))
  }

  // Unsupported methods are handled here instead of with app.all(path), because a second handler for a path
  // would slow down each scrape.
  const methods = listAllowedMethods(app)
  app.notFound((c) => {
    const Allow = methods.get(c.req.path)
    if (Allow === undefined)
      return respondText(404, `Not found. The metrics are at ${externalPath}${telemetryPath}.`)
    return c.req.method === 'OPTIONS' ? optionsResponse(Allow) : methodNotAllowed(Allow)
  })
  app.onError((error, c) => {
    log.error('request failed', { path: c.req.path, error: error.message })
    return respondText(500, 'Internal error: the request failed. See the log of the exporter.')
  })
}

/** Returns the value of the response header `Allow` for each path. */
function listAllowedMethods(app: Hono): ReadonlyMap<string, string> {
  const methods = new Map<string, string[]>()
  for (const { path, method } of app.routes) {
    const known = methods.get(path) ?? []
    methods.set(path, [...known, ...(method === 'GET' ? ['GET', 'HEAD'] : [method])])
  }
  return new Map(Array.from(methods, ([path, known]) => [path, [...known, 'OPTIONS'].join(', ')]))
}

const methodNotAllowed = (Allow: string) =>
  respondText(405, `Method not allowed: expected ${Allow}.`, { Allow })

// RFC 9110 §8.6 forbids Content-Length with status 204.
const optionsResponse = (Allow: string) =>
  new Response(null, { status: 204, headers: { Allow, 'Cache-Control': 'no-store' } })

/**
 * Returns the request and response objects of node:http. Reading them is faster than reading the objects that
 * Hono creates. In tests with app.request(), which does not use node:http, the result is empty.
 */
export const getBindings = (c: Context) => (c.env as Partial<HttpBindings> | undefined) ?? {}

function chooseVariantFor(c: Context, responses: Responses): ResponseVariant {
  const { incoming } = getBindings(c)
  return incoming
    ? responses.chooseVariant(
        incoming.headers.accept,
        incoming.headers['accept-encoding']?.toString(),
      )
    : responses.chooseVariant(c.req.header('Accept'), c.req.header('Accept-Encoding'))
}

export function respondText(
  status: number,
  line: string,
  headers: Record<string, string> = {},
): Response {
  return respond(status, Buffer.from(`${line}\n`), TEXT, headers)
}

export function respond(
  status: number,
  bytes: Uint8Array<ArrayBuffer>,
  contentType: string,
  headers: Record<string, string>,
): Response {
  return new Response(bytes, { status, headers: createHeaders(bytes, contentType, headers) })
}

function send({ status, bytes, headers }: ExpositionResponse): Response {
  return new Response(bytes, { status, headers })
}
