import assert from 'node:assert/strict'
import { once } from 'node:events'
import type { Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { createServer } from 'node:http'
import { connect as connectHttp2, constants } from 'node:http2'
import { afterEach, describe, test } from 'node:test'
import { until } from '../../support/setup/process.js'
import { createPendingBodies } from '../../../src/http/bodies.js'
import { trackConnections } from '../../../src/http/connections.js'
import { createGatedServer, type Respond } from '../../../src/http/gated-server.js'
import { createFakeLog } from '../../support/fake-app.js'
import { STOPPED, stopReading, type StoppedClient } from '../../support/stopped-clients.js'
import { ask, TRANSPORTS } from '../../support/transports.js'

const MB = 1024 * 1024
const COUNT = 20
// The body is larger than the socket buffers of the kernel, so it cannot be sent to a client that does not
// read.
const LENGTH = 10 * MB
const CLIENT_BYTES = 160 * 1024
const [PLAIN, TLS, HTTP2] = TRANSPORTS
const TRANSPORT_OF = {
  HTTP: PLAIN!,
  HTTPS: TLS!,
  'HTTP/2, closed window': HTTP2!,
  'HTTP/2, open window': HTTP2!,
} as const

const connections = (server: Server) =>
  new Promise<number>((resolve) => {
    server.getConnections((_, count) => {
      resolve(count)
    })
  })

for (const how of STOPPED) {
  // The timeout of 5 minutes only ends a test that hangs.
  describe(`clients that stop reading over ${how}`, { timeout: 300_000 }, () => {
    const transport = TRANSPORT_OF[how]
    const ends: (() => void)[] = []
    afterEach(() => {
      for (const end of ends.splice(0).reverse()) end()
    })

    async function start(bodyOf: () => Uint8Array, bytes: number) {
      const bodies = createPendingBodies({ bytes, longest: 0, stoppedMs: 100, everyMs: 20 })
      const respond: Respond = (_, outgoing) => {
        const body = bodyOf()
        outgoing.writeHead(200, { 'Content-Length': String(body.length) })
        outgoing.end(body)
      }
      const { gate } = transport
      const server: Server = gate
        ? createGatedServer(gate, bodies.classes, respond, createFakeLog().log)
        : createServer(bodies.classes, respond)
      const close = trackConnections(server, 100, bodies)
      server.listen(0, '127.0.0.1')
      await once(server, 'listening')
      ends.push(bodies.close, () => void close(0))
      return { bodies, server, port: (server.address() as AddressInfo).port }
    }

    async function stop(port: number): Promise<StoppedClient[]> {
      const clients = Array.from({ length: COUNT }, () => stopReading(how, port, '/'))
      const stopped = await Promise.all(clients)
      ends.push(() => {
        for (const each of stopped) each.destroy()
      })
      return stopped
    }

    test('clients that stop reading share one body, and stay connected below the memory limit', async () => {
      const body = new Uint8Array(LENGTH).fill(97)
      const { bodies, port } = await start(() => body, 14 * MB)
      const clients = await stop(port)
      const all = LENGTH + COUNT * CLIENT_BYTES
      await until(() => bodies.bytes() === all, { what: 'all clients have a response' })
      const { bytes } = await ask(transport, `${transport.scheme}://127.0.0.1:${port}/`)
      assert.equal(bytes.length, LENGTH)
      // One client has read its whole body and disconnected. The other clients still have a pending body.
      await until(() => bodies.bytes() === all, { what: 'no other client was disconnected' })
      for (const each of clients) each.destroy()
      await until(() => bodies.bytes() === 0, { what: 'disconnected clients use no memory' })
    })

    test('clients that stop reading are disconnected above the memory limit, and other clients get a response', async () => {
      let asked = 0
      const next = () => new Uint8Array(LENGTH).fill(asked++)
      const { bodies, server, port } = await start(next, 65 * MB)
      await stop(port)
      await until(() => asked === COUNT && bodies.bytes() <= 65 * MB, {
        what: 'stopped clients are disconnected',
      })
      assert.ok(bodies.bytes() > 50 * MB, 'no more clients than necessary')
      const left = Math.floor(bodies.bytes() / LENGTH)
      await until(async () => (await connections(server)) === left, {
        what: 'their connections end',
      })
      // On a busy machine, this client can itself stop for 100 ms. Then it is disconnected, and asks again.
      const url = `${transport.scheme}://127.0.0.1:${port}/`
      const { bytes } = await until(() => ask(transport, url).catch(() => undefined), {
        what: 'another client gets a response',
      })
      const last = asked - 1
      assert.deepEqual([bytes.length, bytes[0], bytes.at(-1)], [LENGTH, last, last])
    })
  })
}

describe('a slow client', { timeout: 300_000 }, () => {
  test('a client that reads one byte now and then is disconnected like a client that reads nothing', async (t) => {
    const bodies = createPendingBodies({ bytes: MB, longest: 0, stoppedMs: 100, everyMs: 20 })
    const server = createServer(bodies.classes, (_, outgoing) => outgoing.end(Buffer.alloc(LENGTH)))
    server.listen(0, '127.0.0.1')
    await once(server, 'listening')
    const socket = await PLAIN!.dial!((server.address() as AddressInfo).port)
    const sip = setInterval(() => {
      socket.read(1)
    }, 5)
    t.after(() => {
      clearInterval(sip)
      socket.destroy()
      bodies.close()
      server.close()
    })
    socket.on('readable', () => undefined).on('error', () => undefined)
    socket.write('GET / HTTP/1.1\r\nHost: x\r\n\r\n')
    await until(() => bodies.bytes() > 0, { what: 'the response begins' })
    await until(() => bodies.bytes() === 0, { what: 'the client is disconnected' })
  })

  test('a canceled HTTP/2 stream has the code CANCEL, and the other stream of the session stays open', async (t) => {
    const limit = { bytes: 1.5 * LENGTH, longest: 0, stoppedMs: 100, everyMs: 20 }
    const bodies = createPendingBodies(limit)
    const respond: Respond = (_, outgoing) => outgoing.end(Buffer.alloc(LENGTH))
    const server = createGatedServer(HTTP2!.gate!, bodies.classes, respond, createFakeLog().log)
    server.listen(0, '127.0.0.1')
    await once(server, 'listening')
    const { port } = server.address() as AddressInfo
    const session = connectHttp2(`https://127.0.0.1:${port}`, { rejectUnauthorized: false })
    t.after(() => {
      session.destroy()
      bodies.close()
      server.close()
    })
    const streams = [session.request({ ':path': '/' }), session.request({ ':path': '/' })]
    await Promise.race(streams.map((stream) => once(stream, 'close')))
    const codes = streams.map((stream) => (stream.closed ? stream.rstCode : 'open'))
    assert.deepEqual(codes.sort(), [constants.NGHTTP2_CANCEL, 'open'])
  })
})

describe('a body in chunks', { timeout: 300_000 }, () => {
  test('the bodies of two pipelined requests are sent in order', async (t) => {
    const bodies = createPendingBodies()
    const server = createServer(bodies.classes, ({ url }, outgoing) => {
      const body = Buffer.alloc(MB, url === '/a' ? 'a' : 'b')
      outgoing.writeHead(200, { 'Content-Length': String(body.length) })
      outgoing.end(body)
    })
    server.listen(0, '127.0.0.1')
    await once(server, 'listening')
    const socket = await PLAIN!.dial!((server.address() as AddressInfo).port)
    t.after(() => {
      socket.destroy()
      bodies.close()
      server.close()
    })
    const request = (path: string) => `GET ${path} HTTP/1.1\r\nHost: x\r\n\r\n`
    socket.write(request('/a') + request('/b'))
    let text = ''
    for await (const chunk of socket) {
      text += String(chunk)
      if (text.split('HTTP/1.1 200').length === 3 && text.endsWith('b'.repeat(MB))) break
    }
    assert.ok(text.indexOf('a'.repeat(MB)) > 0)
    assert.ok(text.indexOf('a'.repeat(MB)) < text.indexOf('b'.repeat(MB)))
  })
})
