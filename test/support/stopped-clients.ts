/** HTTP clients that request the metrics and then stop reading the response, over each transport. */

import { readFile, writeFile } from 'node:fs/promises'
import { connect as connectHttp2 } from 'node:http2'
import { connect as connectPlain, type Socket } from 'node:net'
import { join } from 'node:path'
import { connect as connectTls } from 'node:tls'
import { freePort, until } from './setup/process.js'
import { selfSigned } from './certificate.js'
import { httpGet, runExporter } from './exporter.js'
import type { TestProsody } from './prosody.js'

export const STOPPED = ['HTTP', 'HTTPS', 'HTTP/2, closed window', 'HTTP/2, open window'] as const
export type Stopped = (typeof STOPPED)[number]

export const isEncrypted = (how: Stopped) => how !== 'HTTP'

/** Starts the exporter as operators run it. It serves the transport of the client. The caller must stop it. */
export async function startExporter(how: Stopped, prosody: TestProsody) {
  const { cert, key } = selfSigned()
  const at = (name: string) => join(prosody.dir, name)
  await writeFile(at('x.crt'), cert)
  await writeFile(at('x.key'), key, { mode: 0o600 })
  await writeFile(at('web.yml'), 'tls_server_config: { cert_file: x.crt, key_file: x.key }\n')
  const port = await freePort()
  const exporter = runExporter({
    flags: [
      `--web.listen-address=127.0.0.1:${port}`,
      `--xmpp.service=${prosody.service}`,
      `--xmpp.domain=${prosody.statsDomains[0]}`,
      ...(isEncrypted(how) ? [`--web.config.file=${at('web.yml')}`] : []),
    ],
    env: { PROSODY_EXPORTER_XMPP_SECRET: prosody.secret },
  })
  const url = `${isEncrypted(how) ? 'https' : 'http'}://127.0.0.1:${port}/metrics`
  return {
    port,
    stop: () => exporter.stop(),
    scrape: () => httpGet(url, {}, undefined, cert),
    /** Returns the resident memory of the exporter in bytes. */
    memory: async () => {
      const status = await readFile(`/proc/${exporter.pid}/status`, 'utf8')
      return Number(/^VmRSS:\s+(\d+)/m.exec(status)![1]) * 1024
    },
  }
}

export type StoppedClient = {
  /** Whether the exporter has closed the connection or the HTTP/2 stream. */
  isClosed(): boolean
  destroy(): void
}

/** Sends a request for `path` and reads only the beginning of the response. */
export async function stopReading(
  how: Stopped,
  port: number,
  path: string,
): Promise<StoppedClient> {
  if (how === 'HTTP/2, closed window') return await closeWindow(port, path)
  const socket = await dial(how, port)
  let isClosed = false
  socket.on('error', () => undefined).on('close', () => (isClosed = true))
  socket.write(how === 'HTTP/2, open window' ? openWindowRequest(path) : request(path))
  // The socket is not read. Node.js fills the buffer of the socket and then receives no more data.
  const enough = how === 'HTTP/2, open window' ? 1000 : 1
  socket.on('readable', () => undefined)
  await until(() => isClosed || socket.readableLength >= enough, { what: 'a response has begun' })
  return { isClosed: () => isClosed, destroy: () => socket.destroy() }
}

const request = (path: string) => `GET ${path} HTTP/1.1\r\nHost: x\r\n\r\n`

async function dial(how: Stopped, port: number): Promise<Socket> {
  const address = { host: '127.0.0.1', port }
  const [socket, event] =
    how === 'HTTP'
      ? [connectPlain(address), 'connect']
      : [
          connectTls({
            ...address,
            rejectUnauthorized: false,
            ALPNProtocols: [how === 'HTTPS' ? 'http/1.1' : 'h2'],
          }),
          'secureConnect',
        ]
  await new Promise((resolve, reject) => {
    socket.once(event, resolve).once('error', reject)
  })
  return socket
}

/**
 * Sends a request over HTTP/2 and does not read the response, so the flow-control window of the stream closes (RFC
 * 9113 §5.2).
 */
async function closeWindow(port: number, path: string): Promise<StoppedClient> {
  const session = connectHttp2(`https://127.0.0.1:${port}`, { rejectUnauthorized: false })
  let isClosed = false
  session.on('error', () => undefined)
  const stream = session.request({ ':path': path })
  stream.on('error', () => undefined).on('close', () => (isClosed = true))
  await new Promise((resolve) => {
    stream.once('response', resolve).once('close', resolve)
  })
  return {
    isClosed: () => isClosed,
    destroy: () => {
      session.destroy()
    },
  }
}

/**
 * Returns the bytes of an HTTP/2 connection preface and one request. The windows of the connection and of the stream
 * have their maximum size, so flow control does not stop the server.
 */
function openWindowRequest(path: string): Buffer {
  const uint32 = (value: number) => Buffer.from(new Uint32Array([value]).buffer).swap32()
  const frame = (type: number, flags: number, stream: number, payload: Buffer) =>
    Buffer.concat([
      uint32(payload.length).subarray(1),
      Buffer.from([type, flags]),
      uint32(stream),
      payload,
    ])
  const literal = (index: number, text: string) =>
    Buffer.concat([Buffer.from([index, text.length]), Buffer.from(text)])
  const most = 2 ** 31 - 1
  return Buffer.concat([
    Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n'),
    // These frames are SETTINGS with SETTINGS_INITIAL_WINDOW_SIZE, WINDOW_UPDATE for the connection, and HEADERS (RFC
    // 9113 §6).
    frame(4, 0, 0, Buffer.concat([Buffer.from([0, 4]), uint32(most)])),
    frame(8, 0, 0, uint32(most - 65_535)),
    // The header block has GET, https, :path and :authority (RFC 7541, appendix A). The flags are END_STREAM and
    // END_HEADERS.
    frame(1, 5, 1, Buffer.concat([Buffer.from([0x82, 0x87]), literal(4, path), literal(1, 'x')])),
  ])
}
