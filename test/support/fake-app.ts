/** Creates the HTTP app of the exporter with expositions that a test provides, and serves it over any transport. */

import { gzipSync } from 'node:zlib'
import type { Hono } from 'hono'
import { createApp } from '../../src/http/routes.js'
import { listen, type Listener } from '../../src/http/listener.js'
import { addServerRoutes } from '../../src/http/server-routes.js'
import type { Log } from '../../src/log/log.js'
import type { Exposition } from '../../src/exposition/exposition.js'
import { ask, type Asked, type Transport } from './transports.js'

export type Line = { level: string; message: string; fields: Record<string, unknown> }

export function createFakeLog(): { log: Log; lines: Line[] } {
  const lines: Line[] = []
  const at =
    (level: string): Log['info'] =>
    (message, fields = {}) => {
      lines.push({ level, message, fields })
    }
  const log = { debug: at('debug'), info: at('info'), warn: at('warn'), error: at('error') }
  return { log, lines }
}

export function exposition(content: string): Exposition {
  const bytes = (format: string) => new Uint8Array(Buffer.from(`${content} ${format}\n`))
  return {
    bytes: (format) => Promise.resolve(bytes(format)),
    gzip: (format) => Promise.resolve(new Uint8Array(gzipSync(bytes(format)))),
  }
}

type Fakes = {
  telemetryPath: string
  routePrefix: string
  maxRequests: number
  ready: boolean
  snapshot: { exposition: Exposition }
  /**
   * Called when the app filters an exposition. `names` has the requested collectors and metric names, joined by `+`.
   */
  filtered: (names: string) => void
  current: () => { exposition: Exposition } | undefined
  scrape: (waitMs: number) => Promise<void>
  /** The names of the XMPP servers. If set, the app also has the routes for several servers. */
  servers: readonly string[]
  /** The domains of `module=outside`. */
  domains: readonly string[]
  isFailure: (snapshot: { exposition: Exposition }) => boolean
  /** Adds more routes to the app. */
  addRoutes: (app: Hono, log: Log) => void
}

export function createFakeApp(fakes: Partial<Fakes> = {}) {
  const { log, lines } = createFakeLog()
  const waits: number[] = []
  const source = {
    collectors: ['ping', 'registry', 'users'],
    scrape: async (waitMs: number) => {
      waits.push(waitMs)
      await fakes.scrape?.(waitMs)
      return fakes.snapshot ?? { exposition: exposition('all') }
    },
  }
  const toModule = (names: readonly string[], text: string) => {
    const sources = new Map(names.map((name) => [name, { ...source }]))
    return {
      names: () => names,
      find: (name: string) => sources.get(name.toLowerCase()),
      debug: () => Promise.resolve(text),
    }
  }
  const app = createApp({
    telemetryPath: fakes.telemetryPath ?? '/metrics',
    timeoutOffsetMs: 500,
    current: () => fakes.current?.(),
    maxRequests: fakes.maxRequests ?? 0,
    ...(fakes.routePrefix !== undefined && { routePrefix: fakes.routePrefix }),
    source: () => source,
    filter: (_, { names, collectors }) => {
      const asked = [...(collectors ?? []), ...(names ?? [])].join('+')
      fakes.filtered?.(asked)
      return exposition(asked)
    },
    ...(fakes.isFailure && { isFailure: fakes.isFailure }),
    isReady: () => fakes.ready ?? true,
    addRoutes: (hono, serve) => {
      fakes.addRoutes?.(hono, log)
      const { servers } = fakes
      if (!servers) return
      addServerRoutes(hono, serve, {
        timeoutOffsetMs: 500,
        external: { origin: undefined, path: '' },
        servers: toModule(servers, 'exchange'),
        outside: fakes.domains && toModule(fakes.domains, 'conversation'),
        config: () => Promise.resolve('a: b\n'),
        reload: () => Promise.resolve(true),
      })
    },
    log,
  })
  return { app, waits, lines }
}

/** HTTP headers that Node.js adds to each response. */
const TRANSPORT_HEADERS = ['date', 'connection', 'keep-alive', ':status']

/**
 * Serves apps over a transport. An app begins to listen when a test sends the first request to it.
 *
 * @returns `over`, which wraps an app in an object with the same `request`, and `close`.
 */
export function serving(transport: Transport) {
  const listeners: Promise<Listener>[] = []
  const over = (app: Hono) => {
    let started: Promise<Listener> | undefined
    const start = () => {
      const address = { host: '127.0.0.1', port: 0, optional: false }
      started = listen(app, [address], createFakeLog().log, { gate: transport.gate })
      listeners.push(started)
      return started
    }
    return {
      async request(path: string, asked?: Asked): Promise<Response> {
        const { urls } = await (started ?? start())
        const { status, headers, bytes } = await ask(transport, `${urls[0]!}${path}`, asked)
        const all = Object.entries(headers).filter(([name]) => !TRANSPORT_HEADERS.includes(name))
        return new Response(status === 204 ? null : new Uint8Array(bytes), {
          status,
          headers: Object.fromEntries(all) as Record<string, string>,
        })
      },
    }
  }
  const close = async () => {
    for (const started of listeners.splice(0)) await (await started).close(0)
  }
  return { over, close }
}
