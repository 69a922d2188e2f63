/** Serves host-meta, BOSH and WebSocket on loopback, as scripted by a test. */

import { createHash } from 'node:crypto'
import { once } from 'node:events'
import { createServer, type Server } from 'node:https'
import type { IncomingMessage, ServerResponse } from 'node:http'
import type { AddressInfo, Socket } from 'node:net'
import type { Duplex } from 'node:stream'
import type { TestContext } from 'node:test'

export type Respond = (request: IncomingMessage, response: ServerResponse, body: string) => void
export type Accept = (socket: Duplex, request: IncomingMessage) => void

export type ScriptedSite = {
  readonly certificate: { readonly cert: string; readonly key: string }
  readonly address?: string
  readonly port?: number
  readonly http?: Respond
  readonly upgrade?: Accept
}

/** Starts an HTTPS server. Returns its port and the requests that it got. */
export async function serveSite(
  t: Pick<TestContext, 'after'>,
  { certificate, address = '127.0.0.1', port = 0, http, upgrade }: ScriptedSite,
): Promise<{
  readonly port: number
  readonly requests: readonly string[]
  readonly sockets: number
}> {
  const requests: string[] = []
  const open = new Set<Socket>()
  let sockets = 0
  const server: Server = createServer(certificate, (request, response) => {
    const chunks: Buffer[] = []
    request.on('data', (chunk: Buffer) => chunks.push(chunk))
    request.on('end', () => {
      const body = Buffer.concat(chunks).toString()
      requests.push(`${request.method ?? ''} ${request.url ?? ''} ${body}`.trim())
      if (http) http(request, response, body)
      else response.writeHead(404).end()
    })
  })
  server.on('upgrade', (request: IncomingMessage, socket: Duplex) => {
    socket.on('error', () => {})
    requests.push(`UPGRADE ${request.url ?? ''}`)
    if (upgrade) upgrade(socket, request)
    else socket.end('HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n')
  })
  server.on('connection', (socket: Socket) => {
    sockets++
    open.add(socket.once('close', () => open.delete(socket)))
  })
  server.on('tlsClientError', () => {})
  server.listen(port, address)
  await once(server, 'listening')
  t.after(async () => {
    for (const socket of open) socket.destroy()
    server.close()
    await once(server, 'close')
  })
  return {
    port: (server.address() as AddressInfo).port,
    requests,
    get sockets() {
      return sockets
    },
  }
}

/** Encodes a frame of a WebSocket server (RFC 6455 §5.2), of at most 65535 bytes. */
export function serverFrame(opcode: number, payload: string | Buffer): Buffer {
  const bytes = Buffer.from(payload)
  const size = bytes.length < 126 ? [bytes.length] : [126, bytes.length >> 8, bytes.length & 255]
  return Buffer.concat([Buffer.from([0x80 | opcode, ...size]), bytes])
}

/** Accepts the handshake of a WebSocket client. */
export function acceptWebSocket(
  socket: Duplex,
  { headers }: IncomingMessage,
  { protocol = 'xmpp', accept }: { readonly protocol?: string; readonly accept?: string } = {},
): void {
  const key = `${headers['sec-websocket-key'] ?? ''}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`
  const value = accept ?? createHash('sha1').update(key).digest('base64')
  const lines = [
    'HTTP/1.1 101 Switching Protocols',
    'Upgrade: websocket',
    'Connection: Upgrade',
    `Sec-WebSocket-Accept: ${value}`,
    ...(protocol === '' ? [] : [`Sec-WebSocket-Protocol: ${protocol}`]),
  ]
  socket.write(`${lines.join('\r\n')}\r\n\r\n`)
}

/** Reads the text messages of a WebSocket client, whose frames are masked and short. */
export function onClientText(socket: Duplex, listener: (text: string) => void): void {
  let bytes: Buffer = Buffer.alloc(0)
  socket.on('data', (chunk: Buffer) => {
    bytes = Buffer.concat([bytes, chunk])
    for (;;) {
      if (bytes.length < 4) return
      const short = bytes[1]! & 0x7f
      const start = short === 126 ? 8 : 6
      const end = start + (short === 126 ? bytes.readUInt16BE(2) : short)
      if (bytes.length < end) return
      const mask = bytes.subarray(start - 4, start)
      const text = Buffer.from(bytes.subarray(start, end).map((byte, i) => byte ^ mask[i % 4]!))
      const isText = (bytes[0]! & 0x0f) === 1
      bytes = bytes.subarray(end)
      if (isText) listener(text.toString())
    }
  })
}
