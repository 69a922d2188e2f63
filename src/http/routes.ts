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
import { cacheFilterResults, readFilter, type Filter } from './scrape-filter.js'
import { createRequestLimit } from './request-limit.js'
import { listRedirectPaths, createPrefixOptions } from './route-prefix.js'

// Prometheus's own default for scrape_timeout.
const DEFAULT_WAIT_MS = 10_000
const MAX_TIMEOUT_S = 600
const TIMEOUT_HEADER = 'X-Prometheus-Scrape-Timeout-Seconds'
const TEXT = 'text/plain; charset=utf-8'

/** Returns a snapshot within `waitMs`. Never rejects. */
export type Scrape<Snapshot> = (waitMs: number) => Promise<Snapshot>

export type ScrapeSource<Snapshot> = {
  readonly scrape: Scrape<Snapshot>
  /** Names of collectors that `collect[]` and `exclude[]` accept. */
  readonly collectors: readonly string[]
}

/** Responds to a request with an exposition of the source. */
export type Serve<Snapshot> = (c: Context, source: ScrapeSource<Snapshot>) => Promise<Response>

export type AppOptions<Snapshot extends { readonly exposition: Exposition }> = {
  readonly telemetryPath: string
  /** Stands in front of every path, see `createPrefixOptions`. Default: none. */
  readonly routePrefix?: string
  /** The path under which clients reach the root, for example behind a proxy. Default: the prefix. */
  readonly externalPath?: string
  /** Maximum concurrent scrapes of one source for each client address; 0 for no limit. */
  readonly maxRequests: number
  readonly timeoutOffsetMs: number
  /** Returns the snapshot that a scrape gets without a wait, if one is recent enough. */
  readonly current: () => Snapshot | undefined
  readonly source: () => ScrapeSource<Snapshot>
  readonly filter: (snapshot: Snapshot, filter: Filter) => Exposition
  /** Whether a response with this snapshot has status 503; its body stays the same. Default: never. */
  readonly isFailure?: (snapshot: Snapshot) => boolean
  readonly isReady: () => boolean
  /** Adds more routes. They can call `serve` to respond with an exposition, like the telemetry path. */
  readonly addRoutes?: (app: Hono, serve: Serve<Snapshot>) => void
  readonly log: Log
}

/**
 * Creates the routes. Each response consists of bytes and a plain record of headers, which @hono/node-server
 * passes to node:http unchanged. A middleware that reads the headers would halve the throughput.
 */
export function createApp<Snapshot extends { readonly exposition: Exposition }>(
  options: AppOptions<Snapshot>,
): Hono {
  const { telemetryPath, routePrefix = '', timeoutOffsetMs, log } = options
  const app = new Hono(createPrefixOptions(routePrefix))
  const limit = createRequestLimit(options.maxRequests)
  const responses = createResponses()
  const filtered = cacheFilterResults(options.filter)

  // Synchronous when the response is in the cache. It then costs little more than in a bare node:http server
  // (bench/served.ts). A promise for each response, and headers that are parsed again, would double the cost.
  app.get(telemetryPath, (c) => {
    const { incoming } = getBindings(c)
    const current = (incoming?.url ?? c.req.url).includes('?') ? undefined : options.current()
    const ready = current && responses.find(current.exposition, chooseVariantFor(c, responses))
    return ready ? send(ready) : serve(c, options.source())
  })

  // The limit is that of promhttp's MaxRequestsInFlight, for each client. Cached responses do not count.
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
        `Limit of concurrent requests reached (${options.maxRequests}), set by --web.max-requests. Try again later.`,
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

/** Adds what happens outside of the routes: redirects to the root, other methods, unknown paths and errors. */
function addFallbacks(
  app: Hono,
  options: Pick<AppOptions<never>, 'telemetryPath' | 'routePrefix' | 'externalPath' | 'log'>,
): void {
  const { telemetryPath, routePrefix = '', externalPath = routePrefix, log } = options
  const home = `${externalPath}/`
  for (const path of listRedirectPaths(routePrefix)) {
    app.get(path, () => respondText(302, `See ${home}`, { Location: home }))
  }

  // Not app.all(path): a second handler for a path would slow down each scrape.
  const methods = listAllowedMethods(app)
  app.notFound((c) => {
    const Allow = methods.get(c.req.path)
    if (Allow === undefined)
      return respondText(404, `Not found. The metrics are at ${externalPath}${telemetryPath}.`)
    return c.req.method === 'OPTIONS' ? optionsResponse(Allow) : methodNotAllowed(Allow)
  })
  app.onError((error, c) => {
    log.error('request failed', { path: c.req.path, error: error.message })
    return respondText(500, 'Internal error. See the log of the exporter.')
  })
}

/** Returns the value of the header `Allow` for each path. */
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

/** Returns how many milliseconds the response to this request may take. */
export function getWaitMs(c: Context, offsetMs: number): number {
  return readWaitMs(c.req.header(TIMEOUT_HEADER), offsetMs) ?? DEFAULT_WAIT_MS
}

/**
 * Returns the request and response of node:http, which are faster than the URL and the Headers that Hono
 * creates. Empty under app.request(), which does not use node:http.
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

/**
 * Returns how many milliseconds a scrape may take: the timeout of Prometheus minus the offset, but at least
 * half of the timeout. `undefined` without the header, or if it is not a number above 0 and up to 600 s.
 */
export function readWaitMs(header: string | undefined, offsetMs: number): number | undefined {
  if (header === undefined || !/^\d{1,9}(?:\.\d{1,18})?$/.test(header)) return undefined
  const seconds = Number(header)
  if (seconds === 0 || seconds > MAX_TIMEOUT_S) return undefined
  return Math.max(seconds * 1000 - offsetMs, seconds * 500)
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
