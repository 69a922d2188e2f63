// All that asks the exporter, in a process of its own: scrapers with keep-alive, of which the first are
// looked at closely, readers that take a little now and then, connections whose headers never end.
// Forked with the port and an `Order`; sends a `Tally` at each message, and goes on.

import { connect, type NetConnectOpts, type Socket } from 'node:net'
import process from 'node:process'
import { gunzipSync } from 'node:zlib'
import { sampleValue } from '../../support/real.js'

export type Order = {
  readonly port: number
  readonly scrapers: number
  readonly intervalMs: number
  /** Of what the server told, in an exposition that is whole. */
  readonly series: number
  readonly slowReaders: number
  readonly drippers: number
}

/** Since the last one. */
export type Tally = {
  /** By status. */
  readonly answers: Readonly<Record<string, number>>
  /** Connections that ended before the answer, on which nothing had been asked before. */
  readonly refused: number
  /** Not answered within their own time-out. */
  readonly late: number
  /** Expositions that say neither "up, with every series" nor "down, with none". */
  readonly wrong: readonly string[]
  readonly up: number
  readonly down: number
  readonly longestMs: number
}

const LOOKED_AT = 20
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
  let asked: { at: number; isAgain: boolean } | undefined
  let answered = 0
  let chunks: Buffer[] = []

  function ask(isAgain: boolean): void {
    asked = { at: performance.now(), isAgain }
    socket ??= dial()
    socket.write(request)
  }
  function dial(): Socket {
    answered = 0
    chunks = []
    // From an address of its own, as scrapers are.
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
      if (!asked) return
      // It was closed when we asked: Go's client, and so Prometheus, asks again on a new one.
      if (answered > 0 && !asked.isAgain) ask(true)
      else {
        tally.refused++
        asked = undefined
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
    tally.longestMs = Math.max(tally.longestMs, performance.now() - (asked?.at ?? Infinity))
    asked = undefined
    if (index < LOOKED_AT && status === '200') look(bytes.subarray(head + 4))
  }
  function look(body: Buffer): void {
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
        // As Prometheus does, which has but one scrape of a target under way.
        if (!asked) ask(false)
        else if (performance.now() - asked.at > TIMEOUT_S * 1000) {
          tally.late++
          socket?.destroy()
        }
      }, order.intervalMs)
    },
    (index * order.intervalMs) / order.scrapers,
  )
}

/** Asks for everything unpacked and takes one piece of it a second. */
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

/** Slowloris: a byte of a header now and then. */
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
