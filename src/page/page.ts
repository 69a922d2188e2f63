import type { Context, Hono } from 'hono'
import { gunzipSync, gzipSync } from 'node:zlib'
import { PAGE_URLS } from '../config/page-paths.js'
import { acceptsGzip } from '../exposition/negotiate.js'
import type { History } from '../history/history.js'
import type { LinkReport } from '../history/link-report.js'
import { respond, respondText } from '../http/routes.js'
import { getRequestHost } from '../http/server-routes.js'
import { readAssets, readLinkedFiles, type Asset, type LinkedFile } from './assets.js'
import {
  renderNotices,
  renderOverviewDocument,
  renderServerDocument,
  type Link,
  type PageParts,
} from './document.js'
import { describeOverview, renderOverviewParts } from './overview.js'
import type { OutsideSection } from './outside-section.js'
import { renderRangeLinks } from './range-links.js'
import { renderServerParts, type CollectorHelp } from './server-page.js'
import {
  createServerRanges,
  getLastPoint,
  renderTexts,
  type ServerRanges,
} from './server-ranges.js'
import { determineStatus, type ServerStatus } from './server-status.js'
import { createViewers, type Event, type NextEvents } from './viewers.js'
import type { Html } from './format-values.js'

export type PageServer = {
  readonly name: string
  readonly history: History
  readonly reportLink: () => LinkReport
}

export type PageOptions = {
  /**
   * The directory that contains main.js: `src/` or `dist/`. The page's own script, style sheet and icon are below
   * it.
   */
  readonly directory: URL
  readonly version: string
  readonly telemetryPath: string
  readonly servers: () => readonly PageServer[]
  /** Returns the problems of the exporter itself. Each is one line for the operator, without a secret. */
  readonly notices: () => readonly string[]
  /** All collectors of the exporter, including disabled ones. */
  readonly collectors: readonly CollectorHelp[]
  /**
   * Formats the lines that the reader must add to prometheus.yml. `target` is the address at which the browser
   * reached the exporter.
   */
  readonly job: (target: string | undefined) => string
  /** The checks of domains from outside; `undefined` if no domains are configured. */
  readonly outside?: OutsideSection | undefined
}

export type StatusPage = {
  addTo(app: Hono): void
  /** Updates all open pages. Call this function when a server or the exporter has a new state. */
  readonly notify: () => void
  /** Ends the event streams of all open pages, and rejects new ones. */
  readonly close: () => void
}

// The policy lets the page load only files of the exporter, and forbids inline scripts and styles.
const CONTENT_SECURITY_POLICY = [
  "default-src 'none'",
  "script-src 'self'",
  "style-src 'self'",
  "img-src 'self'",
  "connect-src 'self'",
  "base-uri 'none'",
  "form-action 'none'",
  "frame-ancestors 'none'",
].join('; ')

const NO_SUCH_SERVER =
  'Wrong server: expected ?server=NAME with the name of a configured server. /sd lists the names.'
const NO_SUCH_RANGE = 'Wrong range: expected ?range=ID with one of these: '
const TOO_MANY_VIEWERS = 'Too many viewers have the page open. Try again later.'

/**
 * Creates the status page at `/`. The page shows only summaries of the metrics, which contain no personal data.
 * All its URLs are relative, so that the page works behind a reverse proxy that serves it under another path.
 */
export function createStatusPage(options: PageOptions): StatusPage {
  const servers = createServerSelection(options)
  const assets = readAssets(options.directory)
  const files = readLinkedFiles(options.directory)
  const viewers = createViewers()
  const ranges = createServerRanges()

  async function servePage(c: Context): Promise<Response> {
    const selected = servers.select(c)
    if (selected === undefined) return respondText(404, NO_SUCH_SERVER)
    const name = selected === 'all' || servers.count() === 1 ? undefined : selected.name
    const query = name === undefined ? '' : `?server=${encodeURIComponent(name)}`
    const frame = (title: string) => ({
      version: options.version,
      title: `${title} – Prosody Exporter`,
      server: name,
      eventsUrl: `.${PAGE_URLS.events}${query}`,
      assets,
      links: createLinks(name, options.telemetryPath, files),
      job: options.job(getRequestHost(c)),
    })
    if (selected === 'all') {
      const title = describeOverview(servers.listStatuses(), options.outside?.countDomains())
      return sendDocument(c, renderOverviewDocument(frame(title), createOverviewParts()))
    }
    const { history } = selected
    const status = servers.getStatus(selected)
    const range = await ranges.choose(history, status, c.req.query('range'))
    // If the history cannot be read, the rest of the page is still useful. The script shows the problem.
    const { parts } = await ranges.read(history, status, range).catch(() => ({ parts: {} }))
    const choice = {
      links: renderRangeLinks(history.listRanges(), range, name),
      historyUrl: `.${PAGE_URLS.history}${query}`,
    }
    const shown = { ...createServerParts(selected), ...parts }
    return sendDocument(c, renderServerDocument(frame(status.title), shown, choice))
  }

  function serveEvents(c: Context): Response {
    const selected = servers.select(c)
    if (selected === undefined) return respondText(404, NO_SUCH_SERVER)
    // The response to a HEAD request has only headers, so it does not count as a viewer.
    if (c.req.method === 'HEAD') return respond(200, NO_BYTES, 'text/event-stream', {})
    const next = selected === 'all' ? overviewEvents : createServerEvents(selected.name)
    return viewers.add(c, next) ?? respondText(503, TOO_MANY_VIEWERS, { 'Retry-After': '60' })
  }

  const createServerParts = (server: PageServer): PageParts => ({
    notices: renderNotices(options.notices()),
    ...renderOutside(servers.getOutside()),
    ...renderServerParts(
      {
        status: servers.getStatus(server),
        lastPoint: getLastPoint(server.history),
        hasNotices: options.notices().length > 0,
      },
      options.collectors,
    ),
  })

  const createOverviewParts = (): PageParts => ({
    notices: renderNotices(options.notices()),
    ...renderOverviewParts(servers.listStatuses(), options.outside),
  })

  const overviewEvents: NextEvents = async () => [await createPartsEvent(createOverviewParts())]

  const createServerEvents =
    (name: string): NextEvents =>
    async () => {
      const server = servers.find(name)
      return server && [await createPartsEvent(createServerParts(server))]
    }

  return {
    addTo(app) {
      app.get('/', servePage)
      app.get(PAGE_URLS.events, serveEvents)
      app.get(PAGE_URLS.history, (c) => serveHistory(c, servers, ranges))
      for (const asset of [...Object.values(assets), ...files.map(({ asset }) => asset)]) {
        app.get(asset.path, (c) => sendAsset(c, asset))
      }
    },
    notify: viewers.wake,
    close: viewers.close,
  }
}

/** Responds with the values of the charts in the range that the query parameter `range` names. */
async function serveHistory(
  c: Context,
  servers: ServerSelection,
  ranges: ServerRanges,
): Promise<Response> {
  const selected = servers.select(c)
  if (selected === undefined || selected === 'all') return respondText(404, NO_SUCH_SERVER)
  const known = selected.history.listRanges()
  const range = known.find(({ id }) => id === c.req.query('range'))
  if (!range) return respondText(400, NO_SUCH_RANGE + known.map(({ id }) => id).join(', '))
  const { gzipped } = await ranges.read(selected.history, servers.getStatus(selected), range)
  return sendCompressed(c, 'application/json', {
    bytes: () => new Uint8Array(gunzipSync(gzipped)),
    gzipped: () => gzipped,
  })
}

const renderOutside = (outside: OutsideSection | undefined): PageParts =>
  outside ? { outside: outside.render() } : {}

type ServerSelection = ReturnType<typeof createServerSelection>

function createServerSelection({ servers, outside }: Pick<PageOptions, 'servers' | 'outside'>) {
  const find = (name: string) => servers().find((server) => server.name === name)
  /** The problem of a domain belongs to no server. With only one server, its page shows the domains too. */
  const getOutside = () => (servers().length === 1 ? outside : undefined)
  const getStatus = ({ history, reportLink }: PageServer): ServerStatus =>
    determineStatus(
      history.getLatest(),
      reportLink(),
      history.getMemoryGrowth(),
      getOutside()?.listEntries(),
    )
  return {
    find,
    getOutside,
    getStatus,
    count: () => servers().length,
    listStatuses: () =>
      servers().map((server) => ({ name: server.name, status: getStatus(server) })),

    /**
     * Returns the server that the query parameter `server` names; `undefined` if no server has this name.
     * Without this parameter, returns the server if only one is configured, and otherwise `all`.
     */
    select(c: Context): PageServer | 'all' | undefined {
      const name = c.req.query('server')
      if (name !== undefined) return find(name)
      const [first, ...others] = servers()
      return first && others.length === 0 ? first : 'all'
    },
  }
}

/**
 * @param server The name of the server that the page shows; `undefined` on the overview, or if only one server
 *   is configured.
 */
function createLinks(
  server: string | undefined,
  telemetryPath: string,
  files: readonly LinkedFile[],
): readonly Link[] {
  const metrics =
    server === undefined
      ? { href: `.${telemetryPath}`, description: 'what Prometheus scrapes' }
      : {
          href: `./probe?target=${encodeURIComponent(server)}`,
          description: 'what Prometheus scrapes for this server',
        }
  return [
    { text: 'Metrics', ...metrics },
    ...files.map(({ asset, text, description }) => ({ href: asset.url, text, description })),
    { href: './-/healthy', text: 'Health', description: 'whether the exporter runs' },
    {
      href: './-/ready',
      text: 'Readiness',
      description: 'whether the exporter has statistics of a server',
    },
  ]
}

async function sendDocument(c: Context, html: Html): Promise<Response> {
  const bytes = new Uint8Array(Buffer.from(String(await html)))
  return sendCompressed(c, 'text/html; charset=utf-8', {
    bytes: () => bytes,
    gzipped: () => new Uint8Array(gzipSync(bytes)),
    headers: {
      'Content-Security-Policy': CONTENT_SECURITY_POLICY,
      'Referrer-Policy': 'no-referrer',
    },
  })
}

const NO_BYTES = new Uint8Array(0)

async function createPartsEvent(parts: PageParts): Promise<Event> {
  return { event: 'parts', data: JSON.stringify(await renderTexts(parts)) }
}

function sendAsset(c: Context, { bytes, gzipped, contentType }: Asset): Response {
  return sendCompressed(c, contentType, {
    bytes: () => bytes,
    gzipped: () => gzipped,
    headers: { 'Cache-Control': 'private, max-age=31536000, immutable' },
  })
}

type Bytes = Uint8Array<ArrayBuffer>

/** Sends compressed bytes, or uncompressed ones to a client that does not accept gzip. */
function sendCompressed(
  c: Context,
  contentType: string,
  body: {
    readonly bytes: () => Bytes
    readonly gzipped: () => Bytes
    readonly headers?: Readonly<Record<string, string>>
  },
): Response {
  const isGzipped = acceptsGzip(c.req.header('Accept-Encoding'))
  return respond(200, isGzipped ? body.gzipped() : body.bytes(), contentType, {
    ...body.headers,
    Vary: 'Accept-Encoding',
    ...(isGzipped && { 'Content-Encoding': 'gzip' }),
  })
}
