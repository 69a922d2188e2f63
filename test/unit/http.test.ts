import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { Agent, createServer, get, type IncomingMessage, type RequestOptions } from 'node:http'
import { connect, type AddressInfo, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { text as readText } from 'node:stream/consumers'
import { afterEach, beforeEach, describe, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { gunzipSync, gzipSync } from 'node:zlib'
import { Hono } from 'hono'
import { until } from '../../scripts/process.js'
import { createApp, readWaitMs } from '../../src/http/app.js'
import { keepConnections } from '../../src/http/connections.js'
import type { ListenAddress } from '../../src/http/listen-address.js'
import { listen, type Listener, type ListenerOptions } from '../../src/http/server.js'
import type { Log } from '../../src/log.js'
import type { Exposition } from '../../src/metrics/exposition.js'
import { negotiate } from '../../src/metrics/negotiate.js'

const TIMEOUT_HEADER = 'X-Prometheus-Scrape-Timeout-Seconds'

type Line = { level: string; message: string; fields: Record<string, unknown> }

function createFakeLog(): { log: Log; lines: Line[] } {
  const lines: Line[] = []
  const at =
    (level: string): Log['info'] =>
    (message, fields = {}) => {
      lines.push({ level, message, fields })
    }
  const log = { debug: at('debug'), info: at('info'), warn: at('warn'), error: at('error') }
  return { log, lines }
}

function exposition(content: string): Exposition {
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
  /** Is told of each filter that is applied. */
  filtered: (names: string) => void
  current: () => { exposition: Exposition } | undefined
  scrape: (waitMs: number) => Promise<void>
}

function createFakeApp(fakes: Partial<Fakes> = {}) {
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
    isReady: () => fakes.ready ?? true,
    log,
  })
  return { app, waits, lines }
}

describe('the telemetry path', () => {
  test('answers a browser with the text format, of known length', async () => {
    const response = await createFakeApp().app.request('/metrics')
    assert.equal(response.status, 200)
    assert.deepEqual(Object.fromEntries(response.headers), {
      'cache-control': 'no-store',
      'content-length': '9',
      'content-type': negotiate(undefined).contentType,
      vary: 'Accept, Accept-Encoding',
      'x-content-type-options': 'nosniff',
    })
    assert.equal(await response.text(), 'all text\n')
  })

  test('answers in OpenMetrics to who accepts it', async () => {
    const response = await createFakeApp().app.request('/metrics', {
      headers: { Accept: 'application/openmetrics-text;version=1.0.0;q=0.5,text/plain;q=0.2' },
    })
    assert.match(response.headers.get('Content-Type') ?? '', /^application\/openmetrics-text; ?v/)
    assert.equal(await response.text(), 'all openmetrics\n')
  })

  test('answers with gzip to who accepts it, with the length of what is sent', async () => {
    const response = await createFakeApp().app.request('/metrics', {
      headers: { 'Accept-Encoding': 'gzip' },
    })
    assert.equal(response.headers.get('Content-Encoding'), 'gzip')
    const body = Buffer.from(await response.arrayBuffer())
    assert.equal(response.headers.get('Content-Length'), String(body.length))
    assert.equal(gunzipSync(body).toString(), 'all text\n')
    const refused = await createFakeApp().app.request('/metrics', {
      headers: { 'Accept-Encoding': 'gzip;q=0' },
    })
    assert.equal(refused.headers.get('Content-Encoding'), null)
  })

  test('answers HEAD with the headers of GET and no body', async () => {
    const { app } = createFakeApp()
    const got = await app.request('/metrics')
    const head = await app.request('/metrics', { method: 'HEAD' })
    assert.equal(head.status, 200)
    assert.deepEqual([...head.headers], [...got.headers])
    assert.equal(await head.text(), '')
  })

  test('is served at once from the current snapshot, each reader in his own way', async () => {
    const rendered: string[] = []
    const all = exposition('all')
    const current = {
      exposition: {
        bytes: (format) => (rendered.push(format), all.bytes(format)),
        gzip: (format) => (rendered.push(`${format}, gzip`), all.gzip(format)),
      } satisfies Exposition,
    }
    let isCurrent = false
    const { app } = createFakeApp({
      snapshot: current,
      current: () => (isCurrent ? current : undefined),
      scrape: () => (isCurrent ? Promise.reject(new Error('it was there')) : Promise.resolve()),
    })
    const readers = ['text/plain', 'application/openmetrics-text;version=1.0.0'].flatMap((Accept) =>
      ['identity', 'gzip'].map((encoding) => ({ Accept, 'Accept-Encoding': encoding })),
    )
    const ask = (headers: Record<string, string>) => app.request('/metrics', { headers })
    const shown = async (response: Response) => [
      ...response.headers,
      Buffer.from(await response.arrayBuffer()).toString('hex'),
    ]
    const waited = await Promise.all(readers.map(async (each) => shown(await ask(each))))
    assert.equal(new Set(waited.map((each) => each.at(-1))).size, 4)
    const count = rendered.length
    isCurrent = true
    for (let again = 0; again < 2; again++) {
      const atOnce = await Promise.all(readers.map(async (each) => shown(await ask(each))))
      assert.deepEqual(atOnce, waited)
    }
    assert.equal(rendered.length, count)
    const head = await app.request('/metrics', { method: 'HEAD' })
    assert.equal(head.headers.get('Content-Length'), '9')
  })

  test('asks for the choice of a query, whatever snapshot is there', async () => {
    const current = { exposition: exposition('all') }
    const { app } = createFakeApp({ snapshot: current, current: () => current })
    assert.equal(await (await app.request('/metrics')).text(), 'all text\n')
    assert.equal(await (await app.request('/metrics?name[]=a')).text(), 'a text\n')
    assert.equal(await (await app.request('/metrics')).text(), 'all text\n')
  })

  test('makes what a filter leaves of a snapshot once, in whatever order it is named', async () => {
    const made: string[] = []
    const app = createFakeApp({
      snapshot: { exposition: exposition('all') },
      filtered: (names) => made.push(names),
    }).app
    for (const query of ['name[]=a&name[]=b', 'name[]=b&name[]=a', 'collect[]=ping']) {
      for (let i = 0; i < 3; i++) await app.request(`/metrics?${query}`)
    }
    assert.deepEqual(made, ['a+b', 'ping'])
    // However many are asked for, a few are kept.
    for (let i = 0; i < 20; i++) await app.request(`/metrics?name[]=x${i}`)
    await app.request('/metrics?name[]=x0')
    assert.equal(made.filter((name) => name === 'x0').length, 2)
  })

  test('passes on every name[] of the query, encoded or not', async () => {
    const { app } = createFakeApp()
    const ask = async (query: string) => (await app.request(`/metrics?${query}`)).text()
    assert.equal(await ask('name[]=a&name[]=b'), 'a+b text\n')
    assert.equal(await ask('name%5B%5D=a&other=c&name%5B%5D=b'), 'a+b text\n')
    assert.equal(await ask('name=a'), 'all text\n')
    assert.equal(await ask('name[]=%ZZ'), '%ZZ text\n')
  })

  test('waits by the time-out header, less the offset', async () => {
    const { app, waits, lines } = createFakeApp()
    for (const seconds of ['10', '1', '0.5']) {
      await app.request('/metrics', { headers: { [TIMEOUT_HEADER]: seconds } })
    }
    assert.deepEqual(waits, [9500, 500, 250])
    assert.deepEqual(lines, [])
  })

  test('waits 10 s without the header, and with one it can not read, which it logs', async () => {
    const { app, waits, lines } = createFakeApp()
    await app.request('/metrics')
    assert.deepEqual(lines, [])
    await app.request('/metrics', { headers: { [TIMEOUT_HEADER]: 'soon' } })
    assert.deepEqual(waits, [10_000, 10_000])
    assert.deepEqual(
      lines.map(({ level, fields }) => ({ level, fields })),
      [{ level: 'debug', fields: { value: 'soon' } }],
    )
  })

  test('may be another, and even the root', async () => {
    for (const telemetryPath of ['/prosody/metrics', '/']) {
      const { app } = createFakeApp({ telemetryPath })
      assert.equal(await (await app.request(telemetryPath)).text(), 'all text\n')
      assert.equal((await app.request('/metrics')).status, 404)
    }
  })

  test('answers 500 in one line when something throws, and logs it once', async () => {
    const scrape = () => Promise.reject(new Error('inner workings'))
    const { app, lines } = createFakeApp({ scrape })
    const response = await app.request('/metrics')
    assert.equal(response.status, 500)
    assert.equal(response.headers.get('Content-Type'), 'text/plain; charset=utf-8')
    assert.equal(await response.text(), 'Internal error, see the log.\n')
    assert.deepEqual(lines, [
      {
        level: 'error',
        message: 'a request failed',
        fields: { path: '/metrics', error: 'inner workings' },
      },
    ])
  })
})

describe('the wait', () => {
  test('is at least half of the time-out', () => {
    assert.equal(readWaitMs('2', 500), 1500)
    assert.equal(readWaitMs('2', 5000), 1000)
    assert.equal(readWaitMs('2', 0), 2000)
    assert.equal(readWaitMs('600', 0), 600_000)
  })

  test('is not read from what is no sensible number of seconds', () => {
    const texts = [
      '',
      '0',
      '-1',
      '+1',
      '1e3',
      'NaN',
      'Infinity',
      '0x10',
      '1s',
      '10, 10',
      '601',
      '.5',
    ]
    for (const text of [...texts, '9'.repeat(400)]) {
      assert.equal(readWaitMs(text, 500), undefined, text)
    }
    assert.equal(readWaitMs(undefined, 500), undefined)
  })
})

describe('the other paths', () => {
  test('/-/healthy is 200 and asks nobody', async () => {
    const { app, waits } = createFakeApp({ ready: false })
    const response = await app.request('/-/healthy')
    assert.equal(response.status, 200)
    assert.equal(await response.text(), 'Prosody Exporter is healthy.\n')
    assert.deepEqual(waits, [])
  })

  test('/-/ready is 503 until ready, and asks nobody', async () => {
    const status = async (ready: boolean) => {
      const { app, waits } = createFakeApp({ ready })
      const response = await app.request('/-/ready')
      assert.deepEqual(waits, [])
      return response.status
    }
    assert.equal(await status(false), 503)
    assert.equal(await status(true), 200)
  })

  test('an unknown one is 404 in text, whatever the method', async () => {
    const { app } = createFakeApp()
    for (const path of ['/metrics/', '/Metrics', '/metrics/x', '/-/', '/probe', '/%00']) {
      for (const method of ['GET', 'POST', 'HEAD']) {
        const response = await app.request(path, { method })
        assert.equal(response.status, 404, `${method} ${path}`)
        assert.equal(response.headers.get('Content-Type'), 'text/plain; charset=utf-8')
      }
    }
  })

  test('another method on a known one is 405 and tells what is allowed', async () => {
    const { app, waits } = createFakeApp()
    for (const path of ['/metrics', '/-/healthy', '/-/ready']) {
      for (const method of ['POST', 'PUT', 'DELETE', 'PATCH', 'OPTIONS']) {
        const response = await app.request(path, { method })
        assert.equal(response.status, 405, `${method} ${path}`)
        assert.equal(response.headers.get('Allow'), 'GET, HEAD')
      }
    }
    assert.deepEqual(waits, [])
  })
})

// The limit is for what would hang: no test waits for it.
describe('the server', { timeout: 300_000 }, () => {
  const loopback: ListenAddress = { host: '127.0.0.1', port: 0, optional: false }
  let listeners: Listener[]
  let directory: string
  beforeEach(() => {
    listeners = []
    directory = mkdtempSync(join(tmpdir(), 'prosody-exporter-http-'))
  })
  afterEach(async () => {
    await Promise.all(listeners.map((each) => each.close(0)))
    rmSync(directory, { recursive: true })
  })

  type App = Parameters<typeof listen>[0]

  async function serve(app: App, addresses = [loopback], options: ListenerOptions = {}) {
    const { log, lines } = createFakeLog()
    const listener = await listen(app, addresses, log, options)
    listeners.push(listener)
    const port = Number(/\d+$/.exec(listener.urls[0]!)?.[0])
    return { ...listener, url: listener.urls[0]!, port, lines }
  }

  async function ask(url: string, options: RequestOptions = {}) {
    const [response] = (await once(get(url, options), 'response')) as [IncomingMessage]
    return { status: response.statusCode, body: await readText(response), response }
  }

  // Sends bytes and resolves all that came back, once the server has closed the connection.
  async function exchange(port: number, bytes: string): Promise<string> {
    const socket = connect(port, '127.0.0.1')
    socket.write(bytes)
    return readText(socket)
  }

  /** An app whose answer waits until it is let go. */
  function createGate() {
    let open: (() => void) | undefined
    let arrived: (() => void) | undefined
    const arrival = new Promise<void>((resolve) => (arrived = resolve))
    const gate = new Promise<void>((resolve) => (open = resolve))
    const { app } = createFakeApp({
      scrape: () => {
        arrived?.()
        return gate
      },
    })
    return { app, arrival, open: () => open?.() }
  }

  test('serves the app and logs where, with the real port', async () => {
    const { url, lines, port } = await serve(createFakeApp().app)
    assert.ok(port > 0)
    assert.deepEqual(lines, [{ level: 'info', message: 'listening', fields: { address: url } }])
    const { status, body, response } = await ask(`${url}/metrics`)
    assert.equal(status, 200)
    assert.equal(body, 'all text\n')
    assert.equal(response.headers['content-length'], '9')
  })

  test('answers HEAD with Content-Length and no body', async () => {
    const { port } = await serve(createFakeApp().app)
    const request = 'HEAD /metrics HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n'
    const answer = await exchange(port, request)
    assert.match(answer, /^HTTP\/1\.1 200 /)
    assert.match(answer, /\r\nContent-Length: 9\r\n/i)
    assert.match(answer, /\r\n\r\n$/)
  })

  test('answers HTTP/1.0 without Host, and 400 to HTTP/1.1 without', async () => {
    const { port } = await serve(createFakeApp().app)
    assert.match(await exchange(port, 'GET /metrics HTTP/1.0\r\n\r\n'), /^HTTP\/1\.1 200 /)
    assert.match(await exchange(port, 'GET /metrics HTTP/1.1\r\n\r\n'), /^HTTP\/1\.1 400 /)
    assert.match(await exchange(port, 'nonsense\r\n\r\n'), /^HTTP\/1\.1 400 /)
  })

  test('refuses TRACE, CONNECT and a method with a body without harm', async () => {
    const { port, url } = await serve(createFakeApp().app)
    const close = 'Host: x\r\nConnection: close\r\n'
    assert.match(
      await exchange(port, `TRACE /metrics HTTP/1.1\r\n${close}\r\n`),
      /^HTTP\/1\.1 405 /,
    )
    assert.equal(await exchange(port, `CONNECT x:1 HTTP/1.1\r\n${close}\r\n`), '')
    const post = `POST /metrics HTTP/1.1\r\n${close}Content-Length: 4\r\n\r\nbody`
    assert.match(await exchange(port, post), /^HTTP\/1\.1 405 /)
    assert.equal((await ask(`${url}/-/healthy`)).status, 200)
  })

  test('lets the connection that has been idle longest make room for a new one', async () => {
    const { app, arrival, open } = createGate()
    const { port, url } = await serve(app, [loopback], { maxConnections: 3 })
    const closed: string[] = []
    const dial = async (name: string, bytes = '') => {
      const socket = connect(port, '127.0.0.1').on('close', () => closed.push(name))
      await once(socket, 'connect')
      socket.write(bytes)
      return socket
    }
    const request = (path: string) => `GET ${path} HTTP/1.1\r\nHost: x\r\n\r\n`
    const busy = await dial('busy', request('/metrics'))
    await arrival
    const silent = await dial('silent')
    const scraper = await dial('scraper', request('/-/healthy'))
    await once(scraper, 'data')
    // One more each time: the silent one goes, then the scraper between two scrapes.
    for (const [name, socket] of [['silent', silent] as const, ['scraper', scraper] as const]) {
      const gone = once(socket.resume(), 'close')
      const next = await dial('next', request('/-/healthy'))
      assert.match(String((await once(next, 'data'))[0]), /^HTTP\/1\.1 200 /)
      await gone
      assert.equal(closed.at(-1), name)
    }
    assert.equal((await ask(`${url}/-/healthy`)).status, 200)
    open()
    assert.match(String((await once(busy, 'data'))[0]), /^HTTP\/1\.1 200 /)
    busy.destroy()
  })

  test('cuts off readers that take nothing, as many as hold too much', async () => {
    const [COUNT, MB] = [20, 1024 * 1024]
    let asked = 0
    const server = createServer((_, outgoing) => {
      asked++
      outgoing.end(Buffer.alloc(10 * MB))
    })
    const close = keepConnections(server, 100, { bytes: 65 * MB, everyMs: 100 })
    server.listen(0, '127.0.0.1')
    await once(server, 'listening')
    const { port } = server.address() as AddressInfo
    const open = new Set<Socket>()
    const ask = (socket: Socket) => socket.write('GET / HTTP/1.1\r\nHost: x\r\n\r\n')
    for (let i = 0; i < COUNT; i++) {
      const socket = connect(port, '127.0.0.1').on('error', () => undefined)
      open.add(socket.pause())
      ask(socket)
    }
    const ends = once(server, 'close')
    const connections = () =>
      new Promise<number>((resolve) => {
        server.getConnections((_, count) => {
          resolve(count)
        })
      })
    try {
      // Some may be cut off before the last one asks.
      await until(() => asked === COUNT, { what: 'all ask' })
      await until(async () => (await connections()) <= 6, { what: 'the others are cut off' })
      await sleep(300)
      assert.equal(await connections(), 6)
      const whole = await (await fetch(`http://127.0.0.1:${port}/`)).arrayBuffer()
      assert.equal(whole.byteLength, 10 * MB)
    } finally {
      for (const socket of open) socket.destroy()
      await close(100)
    }
    await ends
  })

  test('refuses connections while all that it may have are busy', async () => {
    const { app, arrival, open } = createGate()
    const { port, url } = await serve(app, [loopback], { maxConnections: 1 })
    const busy = connect(port, '127.0.0.1')
    busy.write('GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n')
    await arrival
    await assert.rejects(ask(`${url}/-/healthy`))
    open()
    assert.match(String((await once(busy, 'data'))[0]), /^HTTP\/1\.1 200 /)
    assert.equal((await ask(`${url}/-/healthy`)).status, 200)
  })

  test('serves on several addresses', async () => {
    const path = join(directory, 'x.sock')
    const { urls } = await serve(createFakeApp().app, [loopback, loopback, { path }])
    assert.equal(new Set(urls).size, 3)
    assert.equal(urls[2], `unix:${path}`)
    for (const url of urls.slice(0, 2)) assert.equal((await ask(`${url}/-/healthy`)).status, 200)
    assert.equal((await ask('http://x/-/healthy', { socketPath: path })).status, 200)
  })

  test('removes its unix socket when it ends', async () => {
    const path = join(directory, 'x.sock')
    const { close } = await serve(createFakeApp().app, [{ path }])
    assert.ok(existsSync(path))
    await close(0)
    assert.ok(!existsSync(path))
  })

  test('replaces a socket file that a dead process left', async () => {
    const path = join(directory, 'x.sock')
    const script = `require('node:net').createServer().listen(${JSON.stringify(path)}, () => process.kill(process.pid, 'SIGKILL'))`
    await once(spawn(process.execPath, ['-e', script]), 'exit')
    assert.ok(existsSync(path))
    await serve(createFakeApp().app, [{ path }])
    assert.equal((await ask('http://x/-/healthy', { socketPath: path })).status, 200)
  })

  test('leaves alone a socket that somebody serves, and a file that is no socket', async () => {
    const path = join(directory, 'x.sock')
    await serve(createFakeApp().app, [{ path }])
    const file = join(directory, 'precious')
    writeFileSync(file, 'data')
    for (const taken of [path, file]) {
      await assert.rejects(serve(createFakeApp().app, [{ path: taken }]), {
        message: `cannot listen on unix:${taken}: the address is in use`,
      })
      assert.ok(existsSync(taken))
    }
    assert.equal((await ask('http://x/-/healthy', { socketPath: path })).status, 200)
  })

  test('says in one line which address is in use, and then listens on none', async () => {
    const { port } = await serve(createFakeApp().app)
    const path = join(directory, 'x.sock')
    await assert.rejects(serve(createFakeApp().app, [{ path }, { ...loopback, port }]), {
      message: `cannot listen on 127.0.0.1:${port}: the address is in use`,
    })
    assert.ok(!existsSync(path))
  })

  // 192.0.2.0/24 is for documentation (RFC 5737): no machine has it.
  const foreign = { host: '192.0.2.1', port: 0 }

  test('skips a default address that the machine lacks', async () => {
    const addresses = [{ ...foreign, optional: true }, loopback]
    const { urls, lines } = await serve(createFakeApp().app, addresses)
    assert.equal(urls.length, 1)
    assert.deepEqual(lines[0]?.fields, { address: '192.0.2.1:0' })
  })

  test('fails on a given address that the machine lacks, or when none is left', async () => {
    await assert.rejects(serve(createFakeApp().app, [loopback, { ...foreign, optional: false }]), {
      message: 'cannot listen on 192.0.2.1:0: this machine does not have that address',
    })
    await assert.rejects(serve(createFakeApp().app, [{ ...foreign, optional: true }]), {
      message: 'this machine has none of the addresses to listen on',
    })
  })

  test('answers 431 to headers over 8 KiB', async () => {
    const { port } = await serve(createFakeApp().app)
    const request = `GET / HTTP/1.1\r\nHost: x\r\nX: ${'x'.repeat(9000)}\r\n\r\n`
    assert.match(await exchange(port, request), /^HTTP\/1\.1 431 /)
  })

  const hasty = { headersTimeout: 50, requestTimeout: 50, connectionsCheckingInterval: 10 }

  test('closes a connection whose headers never end, or never begin', async () => {
    const { port, url } = await serve(createFakeApp().app, [loopback], { timeouts: hasty })
    assert.match(await exchange(port, 'GET / HTTP/1.1\r\nHost: x\r\nX: '), /^HTTP\/1\.1 408 /)
    assert.match(await exchange(port, ''), /^HTTP\/1\.1 408 /)
    assert.equal((await ask(`${url}/-/healthy`)).status, 200)
  })

  test('closes a connection whose body never ends', async () => {
    const late = new Hono().post('/', async (c) => c.text(await c.req.text().catch(() => '')))
    const { port } = await serve(late, [loopback], {
      timeouts: { ...hasty, headersTimeout: 40 },
    })
    const request = 'POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\nabc'
    assert.match(await exchange(port, request), /^HTTP\/1\.1 408 /)
  })

  test('keeps a connection open between scrapes', async () => {
    const { url } = await serve(createFakeApp().app)
    const agent = new Agent({ keepAlive: true })
    const first = await ask(`${url}/metrics`, { agent })
    assert.equal(first.response.headers['keep-alive'], 'timeout=75')
    const second = await ask(`${url}/metrics`, { agent })
    assert.equal(second.response.socket, first.response.socket)
    agent.destroy()
  })

  test('a client that leaves while it waits harms nobody', async () => {
    const { app, arrival, open } = createGate()
    const { port, url } = await serve(app)
    const leaver = connect(port, '127.0.0.1')
    leaver.write('GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n')
    await arrival
    const waiter = ask(`${url}/metrics`)
    leaver.destroy()
    open()
    assert.equal((await waiter).body, 'all text\n')
  })

  test('lets a request under way finish when it closes, and no new one in', async () => {
    const { app, arrival, open } = createGate()
    const { url, close } = await serve(app)
    const agent = new Agent({ keepAlive: true })
    const waiter = ask(`${url}/metrics`, { agent })
    await arrival
    const closed = close(60_000)
    await assert.rejects(ask(`${url}/-/healthy`), { code: 'ECONNREFUSED' })
    open()
    assert.equal((await waiter).body, 'all text\n')
    await closed
    agent.destroy()
  })

  test('does not wait for connections that ask nothing when it closes', async () => {
    const { app } = createFakeApp()
    const { port, url, close } = await serve(app)
    const silent = connect(port, '127.0.0.1')
    const ended = once(silent.resume(), 'close')
    await once(silent, 'connect')
    const agent = new Agent({ keepAlive: true })
    await ask(`${url}/metrics`, { agent })
    // The suite would run into its limit if the grace were waited for.
    await close(2 ** 31 - 1)
    await ended
    agent.destroy()
  })

  test('cuts off after the grace what does not finish, however often it is asked to close', async () => {
    const { app, arrival } = createGate()
    const { url, close } = await serve(app)
    const waiter = assert.rejects(ask(`${url}/metrics`), { code: 'ECONNRESET' })
    await arrival
    await Promise.all([close(10), close(10)])
    await waiter
  })

  test('serves bytes as they are, megabytes too', async () => {
    const bytes = new Uint8Array(3_000_000).fill(97)
    const app = new Hono().get(
      '/',
      () => new Response(bytes, { headers: { 'Content-Length': String(bytes.length) } }),
    )
    const { url } = await serve(app)
    assert.equal((await ask(url)).body.length, bytes.length)
  })

  test('a port that another server holds is not disturbed', async () => {
    const other = createServer((_, outgoing) => outgoing.end('other'))
    other.listen(0, '127.0.0.1')
    await once(other, 'listening')
    const { port } = other.address() as { port: number }
    await assert.rejects(serve(createFakeApp().app, [{ ...loopback, port }]))
    assert.equal((await ask(`http://127.0.0.1:${port}`)).body, 'other')
    other.close()
  })
})
