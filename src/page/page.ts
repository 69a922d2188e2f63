import type { Context, Hono } from 'hono'
import { gzipSync } from 'node:zlib'
import { TRACKS, type History, type Point } from '../history/history.js'
import { acceptsGzip } from '../exposition/negotiate.js'
import { respond, respondText } from '../http/routes.js'
import { getRequestHost } from '../http/server-routes.js'
import { readAssets, readReference, type Asset } from './assets.js'
import { overviewDocument, serverDocument, type Frame, type Link } from './document.js'
import { overviewParts, overviewText } from './overview.js'
import { PAGE_URLS } from '../config/page-paths.js'
import { serverParts, stateText, type CollectorHelp } from './server-page.js'
import { createViewers, type Event, type NextEvents } from './viewers.js'
import type { Html } from './words.js'

export type PageServer = { readonly name: string; readonly history: History }

export type PageOptions = {
  readonly version: string
  readonly telemetryPath: string
  readonly servers: () => readonly PageServer[]
  /** All sources of statistics that there are. */
  readonly sources: readonly CollectorHelp[]
  /** The lines for prometheus.yml, for who finds us there. */
  readonly job: (target: string | undefined) => string
}

export type StatusPage = {
  addTo(app: Hono): void
  /** Some server has something new to tell. */
  readonly changed: () => void
  /** Ends what goes on; nothing is left. */
  readonly close: () => void
}

// Nothing but what we serve ourselves, and nothing inline.
const POLICY = [
  "default-src 'none'",
  "script-src 'self'",
  "style-src 'self'",
  "img-src 'self'",
  "connect-src 'self'",
  "base-uri 'none'",
  "form-action 'none'",
  "frame-ancestors 'none'",
].join('; ')

/**
 * The page for people at `/`. All that it shows is of readings, which hold nothing of a person, and all
 * that it loads is ours; URLs in it are relative, so it works behind a path of a proxy as well.
 */
export function createStatusPage(options: PageOptions): StatusPage {
  const { version, telemetryPath, servers, sources, job } = options
  const assets = readAssets()
  const reference = readReference()
  const viewers = createViewers()

  /** The one that is meant, or all of several; `undefined`: there is none of that name. */
  function shownIn(c: Context): PageServer | 'all' | undefined {
    const name = c.req.query('server')
    if (name !== undefined) return find(name)
    const all = servers()
    return all.length === 1 ? all[0] : 'all'
  }

  const find = (wanted: string) => servers().find(({ name }) => name === wanted)

  const overviewed = () =>
    servers().map(({ name, history }) => ({ name, reading: history.latest() }))

  function frame(c: Context, title: string, server?: string): Frame {
    const query = server === undefined ? '' : `?server=${encodeURIComponent(server)}`
    return {
      version,
      title: `${title} – Prosody Exporter`,
      server,
      eventsUrl: `.${PAGE_URLS.events}${query}`,
      assets,
      links: links(server),
      job: job(getRequestHost(c)),
    }
  }

  function links(server: string | undefined): readonly Link[] {
    const metrics = `.${telemetryPath}`
    return [
      server === undefined
        ? { href: metrics, text: 'Metrics', about: 'what Prometheus reads' }
        : {
            href: `./probe?target=${encodeURIComponent(server)}`,
            text: 'Metrics',
            about: 'of this server, as Prometheus reads them',
          },
      ...(reference
        ? [
            {
              href: reference.url,
              text: 'Meaning',
              about: 'of each metric, and what to watch',
            },
          ]
        : []),
      { href: './-/healthy', text: 'Healthy', about: 'whether this process answers' },
      { href: './-/ready', text: 'Ready', about: 'whether a server has answered' },
    ]
  }

  async function serve(c: Context): Promise<Response> {
    const shown = shownIn(c)
    if (shown === undefined) return respondText(404, 'There is no server of that name.')
    if (shown === 'all') {
      const all = overviewed()
      return document(c, overviewDocument(frame(c, overviewText(all)), overviewParts(all)))
    }
    const { name, history } = shown
    const server = servers().length > 1 ? name : undefined
    const title = stateText(history.latest())
    const parts = serverParts(history, sources)
    return document(c, serverDocument(frame(c, title, server), parts))
  }

  async function document(c: Context, html: Html): Promise<Response> {
    const bytes = new Uint8Array(Buffer.from(String(await html)))
    const zips = acceptsGzip(c.req.header('Accept-Encoding'))
    return respond(
      200,
      zips ? new Uint8Array(gzipSync(bytes)) : bytes,
      'text/html; charset=utf-8',
      {
        'Content-Security-Policy': POLICY,
        'Referrer-Policy': 'no-referrer',
        Vary: 'Accept-Encoding',
        ...(zips && { 'Content-Encoding': 'gzip' }),
      },
    )
  }

  function events(c: Context): Response {
    const shown = shownIn(c)
    if (shown === undefined) return respondText(404, 'There is no server of that name.')
    // Whoever asks for headers only gets them, and is nobody who looks on.
    if (c.req.method === 'HEAD') return respond(200, NOTHING, 'text/event-stream', {})
    const next = shown === 'all' ? ofAll : ofServer(shown.name)
    return (
      viewers.add(c, next) ??
      respondText(503, 'Too many look at the page already.', { 'Retry-After': '60' })
    )
  }

  const ofAll: NextEvents = async () => [await partsEvent(overviewParts(overviewed()))]

  function ofServer(name: string): NextEvents {
    let told: { readonly history: History; readonly count: number } | undefined
    return async () => {
      const history = find(name)?.history
      if (!history) return undefined
      const isSame = told?.history === history
      const points = history.points(isSame ? told!.count : 0)
      told = { history, count: history.count() }
      const data = JSON.stringify(columns(points))
      return [
        { event: isSame ? 'points' : 'history', data },
        await partsEvent(serverParts(history, sources)),
      ]
    }
  }

  return {
    addTo(app) {
      app.get('/', serve)
      app.get(PAGE_URLS.events, events)
      for (const asset of [...Object.values(assets), ...(reference ? [reference] : [])]) {
        app.get(asset.path, (c) => file(c, asset))
      }
    },
    changed: viewers.wake,
    close: viewers.close,
  }
}

const NOTHING = new Uint8Array(0)

async function partsEvent(parts: Readonly<Record<string, Html>>): Promise<Event> {
  const texts: Record<string, string> = {}
  for (const [id, part] of Object.entries(parts)) texts[id] = String(await part)
  return { event: 'parts', data: JSON.stringify(texts) }
}

/** As the charts want them: times in seconds, then a column for each track. */
function columns(points: readonly Point[]) {
  const column = (track: (typeof TRACKS)[number]) =>
    points.map((point) => {
      const value = point[track]
      return value === undefined ? null : Number(value.toPrecision(4))
    })
  return {
    times: points.map(({ atMs }) => Math.round(atMs / 1000)),
    ...Object.fromEntries(
      TRACKS.map((track) => [track, column(track)] as const).filter(([, values]) =>
        values.some((value) => value !== null),
      ),
    ),
  }
}

function file(c: Context, { bytes, zipped, contentType }: Asset): Response {
  const zips = acceptsGzip(c.req.header('Accept-Encoding'))
  return respond(200, zips ? zipped : bytes, contentType, {
    'Cache-Control': 'private, max-age=31536000, immutable',
    Vary: 'Accept-Encoding',
    ...(zips && { 'Content-Encoding': 'gzip' }),
  })
}
