// The clients of the soak test, in their own process: scrapers with keep-alive, clients that read slowly, and
// clients whose request headers never end. The process checks the responses of the first 20 scrapers.
// The argument of the process is a `ClientsConfig` as JSON. For each message from the parent process, it sends the
// counts since the previous message, as a `Tally`.

import { connect, type NetConnectOpts, type Socket } from 'node:net'
import process from 'node:process'
import { gunzipSync } from 'node:zlib'
import { sampleValue } from '../../support/real.js'

export type ClientsConfig = {
  readonly port: number
  readonly scrapers: number
  readonly intervalMs: number
  /** Number of `test_series_` lines in a complete exposition. */
  readonly series: number
  readonly slowReaders: number
  /** Number of connections on which a client sends one byte of a request header every half second. */
  readonly drippers: number
}

/** What the clients counted since they sent the previous `Tally`. */
export type Tally = {
  /** The number of responses with each HTTP status. */
  readonly responses: Readonly<Record<string, number>>
  /** Number of scrapes for which the exporter closed the connection without a response. */
  readonly refused: number
  /** Number of scrapes that got no response within 10 s. */
  readonly late: number
  /** Descriptions of wrong expositions. Correct are `xmpp_up` 1 with every series, and `xmpp_up` 0 without series. */
  readonly wrong: readonly string[]
  /** Number of checked expositions with `xmpp_up` 1. */
  readonly up: number
  /** Number of checked expositions with `xmpp_up` 0. */
  readonly down: number
  /** Duration of the longest scrape. */
  readonly longestMs: number
}

/** Number of scrapers whose expositions are checked. */
const CHECKED_SCRAPERS = 20
const TIMEOUT_S = 10
const HEADERS =
  'Host: x\r\nAccept: application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5\r\n' +
  `X-Prometheus-Scrape-Timeout-Seconds: ${TIMEOUT_S}\r\n`
const config = JSON.parse(process.argv[2] ?? '') as ClientsConfig

let tally = emptyTally()
function emptyTally() {
  return {
    responses: {} as Record<string, number>,
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
  /** Number of responses that this scraper got on its current connection. */
  let responses = 0
  let chunks: Buffer[] = []

  function sendRequest(isRetry: boolean): void {
    pending = { at: performance.now(), isRetry }
    socket ??= dial()
    socket.write(request)
  }
  function dial(): Socket {
    responses = 0
    chunks = []
    // Each scraper connects from its own IP address, as real scrapers do.
    const localAddress = `127.1.${index >> 8}.${index & 255}`
    const dialled = connect({ port: config.port, host: '127.0.0.1', localAddress, noDelay: true })
    dialled.on('error', () => undefined)
    dialled.on('data', (chunk) => {
      chunks.push(chunk)
      readResponse()
    })
    dialled.on('close', () => {
      if (socket !== dialled) return
      socket = undefined
      if (!pending) return
      // The exporter closed an idle connection just when the client sent a request. In this case, Go's HTTP client,
      // and therefore Prometheus, repeats the request on a new connection.
      if (responses > 0 && !pending.isRetry) sendRequest(true)
      else {
        tally.refused++
        pending = undefined
      }
    })
    return dialled
  }
  function readResponse(): void {
    const bytes = chunks.length === 1 ? chunks[0]! : Buffer.concat(chunks)
    const head = bytes.indexOf('\r\n\r\n')
    if (head < 0) return
    const headers = bytes.toString('latin1', 0, head)
    const length = Number(/^content-length: (\d+)/im.exec(headers)?.[1])
    if (bytes.length < head + 4 + length) return
    chunks = []
    responses++
    const status = headers.slice(9, 12)
    tally.responses[status] = (tally.responses[status] ?? 0) + 1
    tally.longestMs = Math.max(tally.longestMs, performance.now() - (pending?.at ?? Infinity))
    pending = undefined
    if (index < CHECKED_SCRAPERS && status === '200') checkExposition(bytes.subarray(head + 4))
  }
  function checkExposition(body: Buffer): void {
    const text = gunzipSync(body).toString()
    const up = sampleValue(text, 'xmpp_up')
    const series = text.split('\n').filter((line) => line.startsWith('test_series_')).length
    if (up === 1 && series === config.series) tally.up++
    else if (up === 0 && series === 0) tally.down++
    else tally.wrong.push(`xmpp_up ${up} with ${series} series`)
  }

  setTimeout(
    () => {
      setInterval(() => {
        // Like Prometheus, a scraper starts a scrape only when its previous scrape has ended.
        if (!pending) sendRequest(false)
        else if (performance.now() - pending.at > TIMEOUT_S * 1000) {
          tally.late++
          socket?.destroy()
        }
      }, config.intervalMs)
    },
    (index * config.intervalMs) / config.scrapers,
  )
}

/** Requests uncompressed expositions and reads at most 1 KB a second. */
function startSlowReader(): void {
  const socket = connect({
    port: config.port,
    host: '127.0.0.1',
    localAddress: '127.2.0.1',
    readableHighWaterMark: 4096,
  } as NetConnectOpts)
  socket.on('error', () => undefined)
  socket.on('close', () => setTimeout(startSlowReader, 100))
  socket.write(`GET /metrics HTTP/1.1\r\n${HEADERS}\r\n`.repeat(4))
  const reading = setInterval(() => void socket.read(1024), 1000)
  socket.on('readable', () => undefined)
  socket.on('close', () => {
    clearInterval(reading)
  })
}

/** A Slowloris client: sends one byte of a header every half second. */
function startDripper(): void {
  const socket = connect({ port: config.port, host: '127.0.0.1', localAddress: '127.2.0.2' })
  socket.on('error', () => undefined)
  socket.on('close', () => setTimeout(startDripper, 100))
  socket.resume()
  socket.write('GET /metrics HTTP/1.1\r\nHost: x\r\nX-Slow: ')
  const dripping = setInterval(() => socket.write('x'), 500)
  socket.on('close', () => {
    clearInterval(dripping)
  })
}

for (let i = 0; i < config.scrapers; i++) startScraper(i)
for (let i = 0; i < config.slowReaders; i++) startSlowReader()
for (let i = 0; i < config.drippers; i++) startDripper()
process.on('message', () => {
  process.send!(tally satisfies Tally)
  tally = emptyTally()
})
