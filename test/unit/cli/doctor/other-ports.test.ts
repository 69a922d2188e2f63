/** Doctor recognizes the protocol of a port that is not a component port. */

import assert from 'node:assert/strict'
import { once } from 'node:events'
import { createServer as createHttpServer } from 'node:http'
import { createServer, type AddressInfo, type Server, type Socket } from 'node:net'
import { test, type TestContext } from 'node:test'
import { createServer as createTlsServer } from 'node:tls'
import { selfSigned } from '../../../support/certificate.js'
import { doctor, lastLine } from '../../../support/doctor.js'

/** A server that says something first, and then ignores what the client sends. */
const greeting = (text: string) => createServer((socket) => socket.write(text))

const SERVERS: Readonly<Record<string, readonly [() => Server, RegExp]>> = {
  HTTP: [() => createHttpServer((_, response) => response.end()), /answers with HTTP/],
  // Like the HTTP server of Prosody, this server answers valid requests only.
  'HTTP that ignores other data': [
    () =>
      createServer((socket) => {
        socket.on('data', (data) => {
          if (data.toString().startsWith('GET ')) socket.end('HTTP/1.1 404 Not Found\r\n\r\n')
        })
      }),
    /answers with HTTP/,
  ],
  TLS: [() => createTlsServer(selfSigned()), /expects TLS/],
  SSH: [() => greeting('SSH-2.0-OpenSSH_10.0\r\n'), /answers with SSH/],
  SMTP: [() => greeting('220 mail.example.com ESMTP Postfix\r\n'), /answers with SMTP/],
  FTP: [() => greeting('220 (vsFTPd 3.0.5)\r\n'), /answers with FTP/],
  IMAP: [() => greeting('* OK [CAPABILITY IMAP4rev1] ready\r\n'), /answers with IMAP/],
  POP3: [() => greeting('+OK ready\r\n'), /answers with POP3/],
  'XMPP for servers': [
    () =>
      greeting(
        "<?xml version='1.0'?><stream:stream xmlns='jabber:server' xmlns:stream='http://etherx.jabber.org/streams' id='1'>",
      ),
    /is for XMPP servers/,
  ],
}

async function serviceOf(t: TestContext, server: Server): Promise<string> {
  const sockets = new Set<Socket>()
  server.on('connection', (socket) => {
    sockets.add(socket.on('error', () => undefined))
  })
  server.on('tlsClientError', () => undefined)
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.after(() => {
    for (const socket of sockets) socket.destroy()
    server.close()
  })
  return `xmpp://127.0.0.1:${(server.address() as AddressInfo).port}`
}

for (const [name, [create, expected]] of Object.entries(SERVERS)) {
  test(`doctor names the protocol of the port: ${name}`, async (t) => {
    const result = await doctor(await serviceOf(t, create()))
    const line = lastLine(result)
    assert.match(line, /^Not working: xmpp:\S+ is not a Prosody component port: it /)
    assert.match(line, expected)
    assert.match(line, /Set --xmpp\.service to a port listed in component_ports/)
    assert.equal(result.code, 1)
  })
}

test('doctor says that a silent port can be another port', async (t) => {
  const line = lastLine(await doctor(await serviceOf(t, greeting(''))))
  assert.match(line, /accepts connections but sends nothing\. .* not a component port/)
})
