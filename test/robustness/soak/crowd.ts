// All clients of the exporter in the soak test, in their own process:
// - scrapers with keep-alive; the content is checked for the first ones;
// - slow readers, which read a little each second;
// - drippers, whose request headers never end.
// The parent forks this process with an `Order`. At each message, the process sends a `Tally` and continues.

import { connect, type NetConnectOpts, type Socket } from 'node:net'
import process from 'node:process'
import { gunzipSync } from 'node:zlib'
import { sampleValue } from '../../support/real.js'

export type Order = {
  readonly port: number
  readonly scrapers: number
  readonly intervalMs: number
  /** Number of test series of the server in a complete exposition. */
  readonly series: number
  readonly slowReaders: number
  readonly drippers: number
}

/** Counts since the previous tally. */
export type Tally = {
  /** Number of responses by status. */
  readonly answers: Readonly<Record<string, number>>
  /** Connections that ended before their first response, and repeated requests without a response. */
  readonly refused: number
  /** Scrapes without a response within their own timeout. */
  readonly late: number
  /** Expositions that are neither "up with all series" nor "down with no series". */
  readonly wrong: readonly string[]
  readonly up: number
  readonly down: number
  readonly longestMs: number
}

const CHECKED = 20
const TIMEOUT_S = 10
const HEADERS =
  'Host: x\r\nAccept: application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5\r\n' +
  `X-Prometheus-Scrape-Timeout-Seconds: ${TIMEOUT_S}\r\n`
const order = JSON.parse(process.argv[2] ?? '') as Order

let tally = emptyTally()
function emptyTally() {
  return {
    answers: {} as Record<string, number>,
    refused: 0,
    late: 0,
    wrong: [] as string[],
    up: 0,
    down: 0,
    longestMs: 0,
  }
}

function startScraper(index: number): void {
  const request = `GET /metrics HTTP/1.1\r\n${HEADERS}Accept-Encoding: gzip\r\n\r\n`
  let socket: Socket | undefined
  let pending: { at: number; isRetry: boolean } | undefined
  let answered = 0
  let chunks: Buffer[] = []

  function sendRequest(isRetry: boolean): void {
    pending = { at: performance.now(), isRetry }
    socket ??= dial()
    socket.write(request)
  }
  function dial(): Socket {
    answered = 0
    chunks = []
    // Each scraper has its own address, as on different machines.
    const localAddress = `127.1.${index >> 8}.${index & 255}`
    const dialled = connect({ port: order.port, host: '127.0.0.1', localAddress, noDelay: true })
    dialled.on('error', () => undefined)
    dialled.on('data', (chunk) => {
      chunks.push(chunk)
      read()
    })
    dialled.on('close', () => {
      if (socket !== dialled) return
      socket = undefined
      if (!pending) return
      // The connection ended before the response. If it had responses before, the HTTP client of Go, and so
      // Prometheus, retries once on a new connection.
      if (answered > 0 && !pending.isRetry) sendRequest(true)
      else {
        tally.refused++
        pending = undefined
      }
    })
    return dialled
  }
  function read(): void {
    const bytes = chunks.length === 1 ? chunks[0]! : Buffer.concat(chunks)
    const head = bytes.indexOf('\r\n\r\n')
    if (head < 0) return
    const headers = bytes.toString('latin1', 0, head)
    const length = Number(/^content-length: (\d+)/im.exec(headers)?.[1])
    if (bytes.length < head + 4 + length) return
    chunks = []
    answered++
    const status = headers.slice(9, 12)
    tally.answers[status] = (tally.answers[status] ?? 0) + 1
    tally.longestMs = Math.max(tally.longestMs, performance.now() - (pending?.at ?? Infinity))
    pending = undefined
    if (index < CHECKED && status === '200') checkBody(bytes.subarray(head + 4))
  }
  function checkBody(body: Buffer): void {
    const text = gunzipSync(body).toString()
    const up = sampleValue(text, 'xmpp_up')
    const series = text.split('\n').filter((line) => line.startsWith('test_series_')).length
    if (up === 1 && series === order.series) tally.up++
    else if (up === 0 && series === 0) tally.down++
    else tally.wrong.push(`xmpp_up ${up} with ${series} series`)
  }

  setTimeout(
    () => {
      setInterval(() => {
        // Prometheus has at most one scrape of a target in progress.
        if (!pending) sendRequest(false)
        else if (performance.now() - pending.at > TIMEOUT_S * 1000) {
          tally.late++
          socket?.destroy()
        }
      }, order.intervalMs)
    },
    (index * order.intervalMs) / order.scrapers,
  )
}

/** Requests uncompressed expositions and reads 1 KiB each second. */
function startSlowReader(): void {
  const socket = connect({
    port: order.port,
    host: '127.0.0.1',
    localAddress: '127.2.0.1',
    readableHighWaterMark: 4096,
  } as NetConnectOpts)
  socket.on('error', () => undefined)
  socket.on('close', () => setTimeout(startSlowReader, 100))
  socket.write(`GET /metrics HTTP/1.1\r\n${HEADERS}\r\n`.repeat(4))
  const taking = setInterval(() => void socket.read(1024), 1000)
  socket.on('readable', () => undefined)
  socket.on('close', () => {
    clearInterval(taking)
  })
}

/** Sends one byte of a header each half second, as in a Slowloris attack. */
function startDripper(): void {
  const socket = connect({ port: order.port, host: '127.0.0.1', localAddress: '127.2.0.2' })
  socket.on('error', () => undefined)
  socket.on('close', () => setTimeout(startDripper, 100))
  socket.resume()
  socket.write('GET /metrics HTTP/1.1\r\nHost: x\r\nX-Slow: ')
  const dripping = setInterval(() => socket.write('x'), 500)
  socket.on('close', () => {
    clearInterval(dripping)
  })
}

for (let i = 0; i < order.scrapers; i++) startScraper(i)
for (let i = 0; i < order.slowReaders; i++) startSlowReader()
for (let i = 0; i < order.drippers; i++) startDripper()
process.on('message', () => {
  process.send!(tally satisfies Tally)
  tally = emptyTally()
})
