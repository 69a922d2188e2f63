// What a scrape costs that is served from a snapshot, next to a bare node:http server that hands out
// the same bytes under as many headers: CPU of the server's process for each request (the kernel's
// own accounting, compiler and garbage collector included), over one kept connection, with the
// headers of Prometheus 2 and 3 in turn. Rounds alternate.
// Run: node --import tsx bench/served.ts [--markdown] [rounds]

import { fork, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { createServer, get, type IncomingMessage } from 'node:http'
import { connect, type AddressInfo, type Socket } from 'node:net'
import { buffer as readBytes } from 'node:stream/consumers'
import { createApp } from '../src/http/app.js'
import { listen } from '../src/http/server.js'
import { labelText } from '../src/metrics/family.js'
import { createTable } from '../src/metrics/store.js'
import { createScraper } from '../src/scrape.js'
import { cpuMs, parameters, report, shown, spread, timesOf } from './figure.js'

type Case = { readonly what: string; readonly series: number; readonly requests: number }
type Ports = Readonly<Record<string, number>>

const CASES: readonly Case[] = [
  { what: '3 KB', series: 1, requests: 2000 },
  { what: '50 KB', series: 510, requests: 1500 },
  { what: '1 MB', series: 10_600, requests: 200 },
]
const ENCODINGS = ['identity', 'gzip'] as const
// Prometheus 2.42 and 3.5, as they ask by default.
const ACCEPTS = [
  'application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,text/plain;version=0.0.4;q=0.5,*/*;q=0.1',
  'application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.5,application/openmetrics-text;version=0.0.1;q=0.4,text/plain;version=1.0.0;escaping=allow-utf-8;q=0.3,text/plain;version=0.0.4;q=0.2,*/*;q=0.1',
]
const WARM_UP = 3
const silent = () => undefined
const log = { debug: silent, info: silent, warn: silent, error: silent }

const [role] = parameters
if (role === 'ours') await serveOurs()
else if (role === 'bare') await serveBare(JSON.parse(parameters[1]!) as Ports)
else await measure(Number(role ?? 7))

/** A scraper as in the program, with one collector of so many series, that never collects again. */
function createFullScraper(series: number) {
  const table = createTable({
    name: 'prosody_mod_test_series',
    type: 'counter',
    help: 'A test series.',
    unit: '',
    bounds: [],
  })
  for (let i = 0; i < series; i++) {
    const labels = { host: `host${i % 10}.example.com`, type: 'c2s', ip_family: `series-${i}` }
    table.set(table.append(labelText(labels)), 0, i * 997)
  }
  const collected = { families: [table.snapshot()], invalid: new Map<string, number>() }
  return createScraper({
    log,
    created: false,
    collectors: [{ name: 'registry', collect: () => Promise.resolve(collected) }],
    link: () => ({ connected: true, connects: 1 }),
    own: () => [],
    minAgeMs: 1e9,
    timeoutMs: 10_000,
    maxSeries: Infinity,
  })
}

/** The child that is ours: a port for each case, told to the parent. */
async function serveOurs(): Promise<void> {
  const ports: Record<string, number> = {}
  for (const { what, series } of CASES) {
    const scraper = createFullScraper(series)
    await scraper.refresh()
    const app = createApp({
      version: '0.0.0',
      log,
      telemetryPath: '/metrics',
      timeoutOffsetMs: 500,
      current: () => scraper.current(),
      scrape: (waitMs) => scraper.scrape(waitMs),
      filter: (snapshot) => snapshot.exposition,
      isReady: () => true,
    })
    const { urls } = await listen(app, [{ host: '127.0.0.1', port: 0, optional: false }], log)
    for (const encoding of ENCODINGS) ports[what + encoding] = Number(new URL(urls[0]!).port)
  }
  process.send!(ports)
}

/** The other child: hands out what ours answered on each of its ports, with the same headers. */
async function serveBare(ours: Ports): Promise<void> {
  const ports: Record<string, number> = {}
  for (const { what } of CASES) {
    for (const encoding of ENCODINGS) {
      const asked = { Accept: ACCEPTS[0], 'Accept-Encoding': encoding }
      const sent = get({ port: ours[what + encoding], path: '/metrics', headers: asked })
      const [answer] = (await once(sent, 'response')) as [IncomingMessage]
      const bytes = await readBytes(answer)
      const own = new Set(['date', 'connection', 'keep-alive'])
      const headers = Object.fromEntries(
        Object.entries(answer.headers).filter(([name]) => !own.has(name)),
      )
      const server = createServer((_, outgoing) => {
        outgoing.writeHead(200, headers)
        outgoing.end(bytes)
      })
      server.listen(0, '127.0.0.1')
      await once(server, 'listening')
      ports[what + encoding] = (server.address() as AddressInfo).port
    }
  }
  process.send!(ports)
}

/** Asks so often over one connection, one request after another. @returns bytes of a body */
async function load(port: number, encoding: string, requests: number): Promise<number> {
  const socket = connect(port, '127.0.0.1').setNoDelay(true)
  await once(socket, 'connect')
  const texts = ACCEPTS.map(
    (accept, i) =>
      `GET /metrics HTTP/1.1\r\nHost: 127.0.0.1:${port}\r\nUser-Agent: Prometheus/${i + 2}.0\r\n` +
      `Accept: ${accept}\r\nAccept-Encoding: ${encoding}\r\n` +
      'X-Prometheus-Scrape-Timeout-Seconds: 10\r\n\r\n',
  )
  let length = 0
  try {
    for (let i = 0; i < requests; i++) length = await ask(socket, texts[i % texts.length]!)
  } finally {
    socket.destroy()
  }
  return length
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

/** With no options but what TypeScript needs: what the benchmark was started with is no server's. */
async function start(...args: string[]): Promise<{ child: ChildProcess; ports: Ports }> {
  const child = fork(import.meta.filename, args, { execArgv: ['--import', 'tsx'] })
  const [ports] = (await once(child, 'message')) as [Ports]
  return { child, ports }
}

async function measure(rounds: number): Promise<void> {
  const ours = await start('ours')
  const bare = await start('bare', JSON.stringify(ours.ports))
  const servers = [ours, bare]
  try {
    for (const { what, requests } of CASES) {
      for (const encoding of ENCODINGS) {
        const lengths = new Set<number>()
        const costs = new Map(servers.map((server) => [server, [] as number[]]))
        for (let round = 0; round < WARM_UP + rounds; round++) {
          // Who is first takes turns too.
          for (const server of round % 2 ? servers : servers.toReversed()) {
            const before = cpuMs(server.child.pid!)
            lengths.add(await load(server.ports[what + encoding]!, encoding, requests))
            const cost = ((cpuMs(server.child.pid!) - before) / requests) * 1000
            if (round >= WARM_UP) costs.get(server)!.push(cost)
          }
        }
        const [length, ...others] = lengths
        if (others.length > 0) throw new Error(`not the same bytes: ${[...lengths].join(', ')}`)
        const mine = spread(costs.get(ours)!)
        const peer = spread(costs.get(bare)!)
        report({
          what: `A scrape from the snapshot, ${what}${encoding === 'gzip' ? ', gzip' : ''} (${length!.toLocaleString('en')} B): CPU of the server against bare node:http`,
          ratio: timesOf(mine, peer),
          ours: shown(mine, 'µs'),
          theirs: shown(peer, 'µs'),
        })
      }
    }
  } finally {
    for (const { child } of servers) child.kill()
  }
}
