// Measures the CPU time of a scrape that the exporter serves from a cached snapshot. The peer is a minimal
// node:http server that reads the same two request headers, and responds with the same bytes and the same headers.
// Each result is the CPU time of the server process per request, as the kernel counts it. It includes the compiler
// and the garbage collector. All requests use one keep-alive connection, with the headers of Prometheus 2 and of
// Prometheus 3 in turn. In a round, the exporter and the peer alternate 20 times, so that other load on the
// machine affects both equally.
// Run: node --import tsx bench/served.ts [--markdown] [rounds]

import { fork, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { createServer, get, type IncomingMessage, type OutgoingHttpHeaders } from 'node:http'
import { connect, type AddressInfo, type Socket } from 'node:net'
import { buffer as readBytes } from 'node:stream/consumers'
import { createApp } from '../src/http/routes.js'
import { listen } from '../src/http/listener.js'
import { formatLabels } from '../src/metrics/labels.js'
import { createTable } from '../src/metrics/table.js'
import { createScraper } from '../src/scrape/scraper.js'
import { cpuMs, parameters, report, shown, spread, timesOf } from './figure.js'

type Case = { readonly what: string; readonly series: number; readonly requests: number }
type Ports = Readonly<Record<string, number>>

const CASES: readonly Case[] = [
  { what: '3 KB', series: 1, requests: 4000 },
  { what: '50 KB', series: 510, requests: 3000 },
  { what: '1 MB', series: 10_600, requests: 1000 },
]
const ENCODINGS = ['identity', 'gzip'] as const
// The default Accept headers of Prometheus 2.42 and 3.5.
const ACCEPTS = [
  'application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,text/plain;version=0.0.4;q=0.5,*/*;q=0.1',
  'application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.5,application/openmetrics-text;version=0.0.1;q=0.4,text/plain;version=1.0.0;escaping=allow-utf-8;q=0.3,text/plain;version=0.0.4;q=0.2,*/*;q=0.1',
]
const TYPES = ['text/plain', 'application/openmetrics-text;version=1.0.0']
const WARM_UP = 3
/** How often the exporter and the peer alternate in a round. */
const TURNS = 20
const silent = () => undefined
const log = { debug: silent, info: silent, warn: silent, error: silent }

const [role] = parameters
if (role === 'exporter') await serveExporter()
else if (role === 'bare') await serveBare(JSON.parse(parameters[1]!) as Ports)
else await measure(Number(role ?? 7))

/**
 * Creates a scraper as the exporter does, with one collector that returns `series` series. The minimum age of a
 * snapshot is so high that the scraper collects only once.
 */
function createFilledScraper(series: number) {
  const table = createTable({
    name: 'prosody_mod_test_series',
    type: 'counter',
    help: 'A test series.',
    unit: '',
    bounds: [],
  })
  for (let i = 0; i < series; i++) {
    const labels = { host: `host${i % 10}.example.com`, type: 'c2s', ip_family: `series-${i}` }
    table.set(table.append(formatLabels(labels)), 0, i * 997)
  }
  const collected = { families: [table.snapshot()], invalid: new Map<string, number>() }
  return createScraper({
    log,
    created: false,
    collectors: [{ name: 'registry', collect: () => Promise.resolve(collected) }],
    link: () => ({ connected: true, connects: 1 }),
    exporterFamilies: () => [],
    minAgeMs: 1e9,
    timeoutMs: 10_000,
    maxSeries: Infinity,
  })
}

/** Serves each size of the exposition on its own port, with the code of the exporter. Sends the ports to the parent. */
async function serveExporter(): Promise<void> {
  const ports: Record<string, number> = {}
  for (const { what, series } of CASES) {
    const scraper = createFilledScraper(series)
    await scraper.refresh()
    const app = createApp({
      log,
      telemetryPath: '/metrics',
      timeoutOffsetMs: 500,
      current: () => scraper.findCached(),
      maxRequests: 40,
      source: () => scraper,
      filter: (snapshot) => snapshot.exposition,
      isReady: () => true,
    })
    const { urls } = await listen(app, [{ host: '127.0.0.1', port: 0, optional: false }], log)
    for (const encoding of ENCODINGS) ports[what + encoding] = Number(new URL(urls[0]!).port)
  }
  process.send!(ports)
}

/**
 * Serves the bytes and headers of the exporter with a minimal node:http server, on one port for each size. Sends the
 * ports to the parent.
 */
async function serveBare(exporter: Ports): Promise<void> {
  const ports: Record<string, number> = {}
  for (const { what } of CASES) {
    const answers = new Map<string, { bytes: Buffer; headers: OutgoingHttpHeaders }>()
    for (const encoding of ENCODINGS) {
      for (const type of TYPES) {
        const asked = { Accept: type, 'Accept-Encoding': encoding }
        const sent = get({ port: exporter[what + encoding], path: '/metrics', headers: asked })
        const [answer] = (await once(sent, 'response')) as [IncomingMessage]
        const bytes = await readBytes(answer)
        const own = new Set(['date', 'connection', 'keep-alive'])
        const headers = Object.fromEntries(
          Object.entries(answer.headers).filter(([name]) => !own.has(name)),
        )
        answers.set(type + encoding, { bytes, headers })
      }
    }
    const server = createServer(
      ({ headers: { accept, 'accept-encoding': encoding } }, outgoing) => {
        const isZipped = /\bgzip\b/.test(encoding?.toString() ?? '')
        const { bytes, headers } = answers.get(chooseType(accept) + ENCODINGS[Number(isZipped)]!)!
        outgoing.writeHead(200, headers)
        outgoing.end(bytes)
      },
    )
    server.listen(0, '127.0.0.1')
    await once(server, 'listening')
    for (const encoding of ENCODINGS) {
      ports[what + encoding] = (server.address() as AddressInfo).port
    }
  }
  process.send!(ports)
}

/** Returns the type in `TYPES` with the highest q in an Accept header. Understands only the headers in `ACCEPTS`. */
function chooseType(accept = ''): string {
  let best = 'text/plain'
  let highest = 0
  for (const clause of accept.split(',')) {
    const type = TYPES.find((each) => clause.trimStart().startsWith(each))
    const q = Number(/;\s*q=([\d.]+)/.exec(clause)?.[1] ?? 1)
    if (type !== undefined && q > highest) [best, highest] = [type, q]
  }
  return best
}

type Reader = {
  /** Sends the given number of requests, one after another. @returns The size of the last body in bytes. */
  read(requests: number): Promise<number>
  end(): void
}

async function createReader(port: number, encoding: string): Promise<Reader> {
  const socket = connect(port, '127.0.0.1').setNoDelay(true)
  await once(socket, 'connect')
  const texts = ACCEPTS.map(
    (accept, i) =>
      `GET /metrics HTTP/1.1\r\nHost: 127.0.0.1:${port}\r\nUser-Agent: Prometheus/${i + 2}.0\r\n` +
      `Accept: ${accept}\r\nAccept-Encoding: ${encoding}\r\n` +
      'X-Prometheus-Scrape-Timeout-Seconds: 10\r\n\r\n',
  )
  return {
    async read(requests) {
      let length = 0
      for (let i = 0; i < requests; i++) length = await ask(socket, texts[i % texts.length]!)
      return length
    },
    end: () => socket.destroy(),
  }
}

function ask(socket: Socket, text: string): Promise<number> {
  return new Promise((resolve, reject) => {
    let length = -1
    let missing = 0
    const read = (chunk: Buffer) => {
      if (length < 0) {
        const end = chunk.indexOf('\r\n\r\n') + 4
        const head = chunk.toString('latin1', 0, end)
        length = Number(/^Content-Length: (\d+)/im.exec(head)?.[1])
        if (!head.startsWith('HTTP/1.1 200') || Number.isNaN(length)) reject(new Error(head))
        missing = length + end
      }
      missing -= chunk.length
      if (missing > 0) return
      socket.off('data', read)
      resolve(length)
    }
    socket.on('data', read)
    socket.write(text)
  })
}

/**
 * Starts this file in a child process, as the exporter or as the peer. The child process gets no options of Node.js
 * except the one that loads TypeScript.
 */
async function start(...args: string[]): Promise<{ child: ChildProcess; ports: Ports }> {
  const child = fork(import.meta.filename, args, { execArgv: ['--import', 'tsx'] })
  const [ports] = (await once(child, 'message')) as [Ports]
  return { child, ports }
}

async function measure(rounds: number): Promise<void> {
  const exporter = await start('exporter')
  const bare = await start('bare', JSON.stringify(exporter.ports))
  const servers = [exporter, bare]
  try {
    for (const { what, requests } of CASES) {
      for (const encoding of ENCODINGS) {
        const lengths = new Set<number>()
        const costs = new Map(servers.map((server) => [server, [] as number[]]))
        const readers = new Map<(typeof servers)[number], Reader>()
        for (const server of servers) {
          readers.set(server, await createReader(server.ports[what + encoding]!, encoding))
        }
        for (let round = 0; round < WARM_UP + rounds; round++) {
          const spent = new Map(servers.map((server) => [server, 0]))
          for (let turn = 0; turn < TURNS; turn++) {
            // The first of the two servers also alternates from turn to turn.
            for (const server of turn % 2 ? servers : servers.toReversed()) {
              const before = cpuMs(server.child.pid!)
              lengths.add(await readers.get(server)!.read(requests / TURNS))
              spent.set(server, spent.get(server)! + cpuMs(server.child.pid!) - before)
            }
          }
          if (round < WARM_UP) continue
          for (const [server, ms] of spent) costs.get(server)!.push((ms / requests) * 1000)
        }
        for (const reader of readers.values()) reader.end()
        const [length, ...others] = lengths
        if (others.length > 0)
          throw new Error(`The bodies differ in size: ${[...lengths].join(', ')}`)
        const exporterSpread = spread(costs.get(exporter)!)
        const peerSpread = spread(costs.get(bare)!)
        report({
          what: `A scrape from the snapshot, ${what}${encoding === 'gzip' ? ', gzip' : ''} (${length!.toLocaleString('en')} B): CPU of the server against a minimal node:http server`,
          ratio: timesOf(exporterSpread, peerSpread),
          exporter: shown(exporterSpread, 'µs'),
          peer: shown(peerSpread, 'µs'),
        })
      }
    }
  } finally {
    for (const { child } of servers) child.kill()
  }
}
