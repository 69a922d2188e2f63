import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { createServer, get, type IncomingMessage, type RequestOptions } from 'node:http'
import { connect as connectHttp2, type Settings } from 'node:http2'
import { connect } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import process from 'node:process'
import { text as readText } from 'node:stream/consumers'
import { afterEach, beforeEach, describe, test } from 'node:test'
import { Hono } from 'hono'
import { until } from '../../support/setup/process.js'
import type { ListenAddress } from '../../../src/config/listen-address.js'
import { listen, type Listener, type ListenerOptions } from '../../../src/http/listener.js'
import { bindPrivately, setSocketAccess } from '../../../src/http/unix-socket.js'
import { createFakeApp, createFakeLog } from '../../support/fake-app.js'
import { ask as askOver, TRANSPORTS, type Asked } from '../../support/transports.js'

const loopback: ListenAddress = { host: '127.0.0.1', port: 0, optional: false }
let listeners: Listener[] = []
let directory: string
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'prosody-exporter-http-'))
})
afterEach(async () => {
  await Promise.all(listeners.map((each) => each.close(0)))
  listeners = []
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

/** Creates an app that responds only after `open` is called. */
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

for (const transport of TRANSPORTS) {
  // The timeout of 5 minutes only ends a test that hangs.
  describe(`the server over ${transport.name}`, { timeout: 300_000 }, () => {
    const serveOver = (app: App, options: ListenerOptions = {}) =>
      serve(app, [loopback], { ...options, gate: transport.gate })
    const ask = (url: string, asked?: Asked) => askOver(transport, url, asked)

    test('the server serves the app and logs its address with the actual port', async () => {
      const { url, lines, port } = await serveOver(createFakeApp().app)
      assert.ok(port > 0)
      assert.deepEqual(lines, [{ level: 'info', message: 'listening', fields: { address: url } }])
      const { status, text, headers } = await ask(`${url}/metrics`)
      assert.equal(status, 200)
      assert.equal(text, 'all text\n')
      assert.equal(headers['content-length'], '9')
    })

    test('a closing server lets a request in progress finish, and accepts no new one', async () => {
      const { app, arrival, open } = createGate()
      const { url, close } = await serveOver(app)
      const waiter = ask(`${url}/metrics`)
      await arrival
      const closed = close(60_000)
      await assert.rejects(ask(`${url}/-/healthy`), /ECONNREFUSED/)
      open()
      assert.equal((await waiter).text, 'all text\n')
      await closed
    })

    test('a closing server aborts requests after the grace time, also if close is called twice', async () => {
      const { app, arrival } = createGate()
      const { url, close } = await serveOver(app)
      const waiter = assert.rejects(ask(`${url}/metrics`))
      await arrival
      await Promise.all([close(10), close(10)])
      await waiter
    })

    test('the server sends a body of several megabytes completely', async () => {
      const bytes = new Uint8Array(3_000_000).fill(97)
      const app = new Hono().get(
        '/',
        () => new Response(bytes, { headers: { 'Content-Length': String(bytes.length) } }),
      )
      const { url } = await serveOver(app)
      assert.equal((await ask(url)).bytes.length, bytes.length)
    })
  })
}

for (const transport of TRANSPORTS) {
  const { name, gate, dial } = transport
  if (!dial) continue
  describe(`connections of ${name}`, { timeout: 300_000 }, () => {
    const serveOver = (app: App, options: ListenerOptions = {}) =>
      serve(app, [loopback], { ...options, gate })
    const ask = (url: string) => askOver(transport, url)

    // Sends bytes to the server, and returns the whole response when the server has closed the connection.
    async function exchange(port: number, bytes: string): Promise<string> {
      const socket = await dial!(port)
      socket.write(bytes)
      return readText(socket)
    }

    test('the response to HEAD has Content-Length and no body', async () => {
      const { port } = await serveOver(createFakeApp().app)
      const request = 'HEAD /metrics HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n'
      const answer = await exchange(port, request)
      assert.match(answer, /^HTTP\/1\.1 200 /)
      assert.match(answer, /\r\nContent-Length: 9\r\n/i)
      assert.match(answer, /\r\n\r\n$/)
    })

    test('the server accepts HTTP/1.0 without Host, and responds 400 to HTTP/1.1 without Host', async () => {
      const { port } = await serveOver(createFakeApp().app)
      assert.match(await exchange(port, 'GET /metrics HTTP/1.0\r\n\r\n'), /^HTTP\/1\.1 200 /)
      assert.match(await exchange(port, 'GET /metrics HTTP/1.1\r\n\r\n'), /^HTTP\/1\.1 400 /)
      assert.match(await exchange(port, 'nonsense\r\n\r\n'), /^HTTP\/1\.1 400 /)
    })

    test('the server accepts every valid form of a request target and of a Host header', async () => {
      const { port } = await serveOver(createFakeApp({ servers: ['one'] }).app)
      const get = (target: string, host: string) =>
        exchange(port, `GET ${target} HTTP/1.1\r\n${host}\r\nConnection: close\r\n\r\n`)
      for (const [target, host] of [
        ['/metrics', 'Host: name:'],
        ['/metrics', 'Host:'],
        ['/metrics', 'HOST: NAME'],
        ['/metrics', 'Host: :9347'],
        ['/metrics', 'Host: [0:0::1]'],
        ['/metrics', 'Host: a%20b'],
        ['/metrics', 'Host: 256.1.1.1'],
        ['/metrics', 'Host: name:99999'],
        ['http://name/metrics', 'Host: other'],
        ['HTTP://NAME:/metrics', 'Host: other'],
        ['http://name/metrics?collect[]=ping', 'Host: '],
        ['/metrics', 'Host: x\r\nAccept:'],
        ['/metrics', 'Host: x\r\nAccept: ;;,q=;*/*;q=1.0000'],
        ['/metrics', 'Host: x\r\nAccept: text/plain\r\nAccept: */*;q=0.1'],
        ['/metrics', 'Host: x\r\nAccept-Encoding:\r\nAccept-Encoding: gzip;q=0'],
        ['/metrics', 'Host: x\r\nUser-Agent: caf\u00e9'],
        ['/metrics', 'Host: x\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk'],
        ['/metrics', 'Host: x\r\nExpect: 100-continue'],
      ] as const) {
        assert.match(
          await get(target, host),
          /^HTTP\/1\.1 (?:100 Continue\r\n\r\nHTTP\/1\.1 )?200 /,
          `${target} ${host}`,
        )
      }
      const listed = await get('HTTP://Name:/sd', 'Host: other')
      assert.match(listed, /"targets":\["name"\]/, 'the host of the target replaces the header')
      for (const host of [
        'Host: a b',
        'Host: a/b',
        'Host: user@a',
        'Host: [::1',
        'Host: a\u00e9',
      ]) {
        assert.match(await get('/metrics', host), /^HTTP\/1\.1 400 /, host)
      }
    })

    test('the response to OPTIONS * lists the methods of the server', async () => {
      const { port } = await serveOver(createFakeApp().app)
      const request = 'OPTIONS * HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n'
      const answer = await exchange(port, request)
      assert.match(answer, /^HTTP\/1\.1 204 /)
      assert.match(answer, /\r\nAllow: GET, HEAD, OPTIONS\r\n/)
    })

    test('the server rejects TRACE, CONNECT and POST, and continues to serve other requests', async () => {
      const { port, url } = await serveOver(createFakeApp().app)
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

    test('above the connection limit, a new connection closes the one that has been idle for the longest time', async () => {
      const { app, arrival, open } = createGate()
      const { port, url } = await serveOver(app, { maxConnections: 3 })
      const closed: string[] = []
      const dialAs = async (name: string, bytes = '') => {
        const socket = (await dial(port)).on('close', () => closed.push(name))
        socket.write(bytes)
        return socket
      }
      const request = (path: string) => `GET ${path} HTTP/1.1\r\nHost: x\r\n\r\n`
      const busy = await dialAs('busy', request('/metrics'))
      await arrival
      const silent = await dialAs('silent')
      const scraper = await dialAs('scraper', request('/-/healthy'))
      await once(scraper, 'data')
      // Each new connection closes an idle one: first that of the silent client, then that of the scraper,
      // which is idle between two scrapes.
      for (const [name, socket] of [['silent', silent] as const, ['scraper', scraper] as const]) {
        const gone = once(socket.resume(), 'close')
        const next = await dialAs('next', request('/-/healthy'))
        assert.match(String((await once(next, 'data'))[0]), /^HTTP\/1\.1 200 /)
        await gone
        assert.equal(closed.at(-1), name)
      }
      assert.equal((await ask(`${url}/-/healthy`)).status, 200)
      open()
      assert.match(String((await once(busy, 'data'))[0]), /^HTTP\/1\.1 200 /)
      busy.destroy()
    })

    test('above the connection limit, a new connection is rejected if all others have requests in progress', async () => {
      const { app, arrival, open } = createGate()
      const { port, url } = await serveOver(app, { maxConnections: 1 })
      const busy = await dial(port)
      busy.write('GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n')
      await arrival
      await assert.rejects(ask(`${url}/-/healthy`))
      open()
      assert.match(String((await once(busy, 'data'))[0]), /^HTTP\/1\.1 200 /)
      assert.equal((await ask(`${url}/-/healthy`)).status, 200)
    })

    test('the server responds 431 to request headers above 8 KiB', async () => {
      const { port } = await serveOver(createFakeApp().app)
      const request = `GET / HTTP/1.1\r\nHost: x\r\nX: ${'x'.repeat(9000)}\r\n\r\n`
      assert.match(await exchange(port, request), /^HTTP\/1\.1 431 /)
    })

    test('the server keeps a connection open between scrapes', async () => {
      const { port } = await serveOver(createFakeApp().app)
      const socket = await dial(port)
      for (let i = 0; i < 2; i++) {
        socket.write('GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n')
        const [answer] = (await once(socket, 'data')) as [Buffer]
        assert.match(String(answer), /^HTTP\/1\.1 200 /)
        assert.match(String(answer), /\r\nKeep-Alive: timeout=75\r\n/i)
      }
      socket.destroy()
    })

    test('a client that disconnects before its response does not affect other clients', async () => {
      const { app, arrival, open } = createGate()
      const { port, url } = await serveOver(app)
      const leaver = await dial(port)
      leaver.write('GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n')
      await arrival
      const waiter = ask(`${url}/metrics`)
      leaver.destroy()
      open()
      assert.equal((await waiter).text, 'all text\n')
    })

    test('a closing server does not wait for idle connections', async () => {
      const { app } = createFakeApp()
      const { port, close } = await serveOver(app)
      const silent = await dial(port)
      const ended = once(silent.resume(), 'close')
      const idle = await dial(port)
      idle.write('GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n')
      await once(idle, 'data')
      // The grace time is longer than the timeout of this test, so the test fails if the server waits for it.
      await close(2 ** 31 - 1)
      await ended
    })

    const hasty = { headersTimeout: 50, requestTimeout: 50, connectionsCheckingInterval: 10 }

    test('the server closes a connection whose request headers never begin or never end', async () => {
      const { port, url } = await serveOver(createFakeApp().app, { timeouts: hasty })
      assert.match(await exchange(port, 'GET / HTTP/1.1\r\nHost: x\r\nX: '), /^HTTP\/1\.1 408 /)
      assert.match(await exchange(port, ''), /^HTTP\/1\.1 408 /)
      const isServed = async () => (await ask(`${url}/-/healthy`)).status === 200
      await until(isServed, { what: 'other clients get a response' })
    })

    test('the server closes a connection whose request body never ends', async () => {
      const late = new Hono().post('/', async (c) => c.text(await c.req.text().catch(() => '')))
      const { port } = await serveOver(late, {
        timeouts: { ...hasty, headersTimeout: 40 },
      })
      const request = 'POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\nabc'
      assert.match(await exchange(port, request), /^HTTP\/1\.1 408 /)
    })
  })
}

describe('the addresses of the server', { timeout: 300_000 }, () => {
  async function ask(url: string, options: RequestOptions = {}) {
    const [response] = (await once(get(url, options), 'response')) as [IncomingMessage]
    return { status: response.statusCode, body: await readText(response) }
  }

  test('one app is served on several addresses', async () => {
    const path = join(directory, 'x.sock')
    const { urls } = await serve(createFakeApp().app, [loopback, loopback, { path }])
    assert.equal(new Set(urls).size, 3)
    assert.equal(urls[2], `unix:${path}`)
    for (const url of urls.slice(0, 2)) assert.equal((await ask(`${url}/-/healthy`)).status, 200)
    assert.equal((await ask('http://x/-/healthy', { socketPath: path })).status, 200)
  })

  test('a closing server removes its Unix socket', async () => {
    const path = join(directory, 'x.sock')
    const { close } = await serve(createFakeApp().app, [{ path }])
    assert.ok(existsSync(path))
    await close(0)
    assert.ok(!existsSync(path))
  })

  const modeOf = (path: string) => statSync(path).mode & 0o777

  test('the mode and group of a Unix socket are set as configured, without changing the umask', async () => {
    const umask = (mask: number) => process.umask(mask)
    const before = umask(0o022)
    umask(before)
    const group = { id: process.getgid!(), source: '--web.socket-group' }
    const mode = { value: 0o666, source: '--web.socket-mode' }
    for (const [name, socketAccess, expected] of [
      ['both', { mode, group }, 0o666],
      ['mode', { mode, group: undefined }, 0o666],
      ['group', { mode: undefined, group }, 0o660],
      ['none', { mode: undefined, group: undefined }, 0o777 & ~before],
    ] as const) {
      const path = join(directory, name)
      await serve(createFakeApp().app, [{ path }], { socketAccess: { ...socketAccess, umask } })
      assert.equal(modeOf(path).toString(8), expected.toString(8), name)
      assert.equal(statSync(path).gid, group.id)
      assert.equal((await ask('http://x/-/healthy', { socketPath: path })).status, 200)
    }
    assert.equal(umask(before), before)
  })

  test('no other user can connect to a Unix socket before its mode is set', () => {
    const path = join(directory, 'x.sock')
    const server = createServer()
    const umask = (mask: number) => process.umask(mask)
    const mode = { value: 0o666, source: '' }
    bindPrivately({ mode, group: undefined, umask }, () => {
      server.listen(path)
    })
    assert.equal(modeOf(path).toString(8), '600')
    server.close()
  })

  test('an error names in one line the mode or group setting of a Unix socket that cannot be applied', () => {
    const path = join(directory, 'none')
    const group = { id: 33, source: '--web.socket-group' }
    assert.throws(() => {
      setSocketAccess(path, { mode: undefined, group })
    }, /^Error: --web\.socket-group: cannot give the socket group 33: ENOENT; run the exporter as a member of that group/)
  })

  test('the server replaces a socket file on which no process listens', async () => {
    const path = join(directory, 'x.sock')
    const script = `require('node:net').createServer().listen(${JSON.stringify(path)}, () => process.kill(process.pid, 'SIGKILL'))`
    await once(spawn(process.execPath, ['-e', script]), 'exit')
    assert.ok(existsSync(path))
    await serve(createFakeApp().app, [{ path }])
    assert.equal((await ask('http://x/-/healthy', { socketPath: path })).status, 200)
  })

  test('the server does not replace a socket file on which a process listens, or a regular file', async () => {
    const path = join(directory, 'x.sock')
    await serve(createFakeApp().app, [{ path }])
    const file = join(directory, 'precious')
    writeFileSync(file, 'data')
    for (const taken of [path, file]) {
      await assert.rejects(serve(createFakeApp().app, [{ path: taken }]), {
        message: `cannot listen on unix:${taken}: the address is in use; check --web.listen-address`,
      })
      assert.ok(existsSync(taken))
    }
    assert.equal((await ask('http://x/-/healthy', { socketPath: path })).status, 200)
  })

  test('if an address is in use, the error names it in one line, and the server listens on no address', async () => {
    const { port } = await serve(createFakeApp().app)
    const path = join(directory, 'x.sock')
    await assert.rejects(serve(createFakeApp().app, [{ path }, { ...loopback, port }]), {
      message: `cannot listen on 127.0.0.1:${port}: the address is in use; check --web.listen-address`,
    })
    assert.ok(!existsSync(path))
  })

  test('a failed start does not disturb another server on the same port', async () => {
    const other = createServer((_, outgoing) => outgoing.end('other'))
    other.listen(0, '127.0.0.1')
    await once(other, 'listening')
    const { port } = other.address() as { port: number }
    await assert.rejects(serve(createFakeApp().app, [{ ...loopback, port }]))
    assert.equal((await ask(`http://127.0.0.1:${port}`)).body, 'other')
    other.close()
  })

  // No machine has an address of the network 192.0.2.0/24, which is reserved for documentation (RFC 5737).
  const foreign = { host: '192.0.2.1', port: 0 }

  test('a default address that the machine does not have is skipped', async () => {
    const addresses = [{ ...foreign, optional: true }, loopback]
    const { urls, lines } = await serve(createFakeApp().app, addresses)
    assert.equal(urls.length, 1)
    assert.deepEqual(lines[0]?.fields, { address: '192.0.2.1:0' })
  })

  test('the start fails if the machine does not have a configured address, or has none of the default addresses', async () => {
    await assert.rejects(serve(createFakeApp().app, [loopback, { ...foreign, optional: false }]), {
      message:
        'cannot listen on 192.0.2.1:0: this machine does not have that address; check --web.listen-address',
    })
    await assert.rejects(serve(createFakeApp().app, [{ ...foreign, optional: true }]), {
      message: 'this machine has none of the addresses to listen on; set --web.listen-address',
    })
  })
})

test('a client that closes its sending side after the request gets the whole body', async () => {
  const body = Buffer.alloc(5_000_000, 'a')
  const app = new Hono().get('/', () => new Response(body))
  const { port } = await serve(app)
  const socket = connect({ port, host: '127.0.0.1', allowHalfOpen: true })
  socket.end('GET / HTTP/1.1\r\nHost: x\r\n\r\n')
  let length = 0
  for await (const chunk of socket) length += (chunk as Buffer).length
  assert.ok(length > body.length, `${length} bytes`)
})

test('an HTTP/2 connection has at most 100 concurrent streams', async () => {
  const { gate } = TRANSPORTS.find(({ name }) => name === 'HTTP/2')!
  const { url } = await serve(createFakeApp().app, [loopback], { gate })
  const session = connectHttp2(url, { rejectUnauthorized: false })
  const [settings] = (await once(session, 'remoteSettings')) as [Settings]
  session.destroy()
  assert.equal(settings.maxConcurrentStreams, 100)
})
