/** Sends HTTP requests over each transport: HTTP/1.1, HTTP/1.1 with TLS, and HTTP/2. */

import { once } from 'node:events'
import { request as requestPlain, type IncomingMessage } from 'node:http'
import { connect as connectHttp2, constants, type IncomingHttpHeaders } from 'node:http2'
import { request as requestEncrypted } from 'node:https'
import { connect as connectPlain, type Socket } from 'node:net'
import type { Readable } from 'node:stream'
import { buffer } from 'node:stream/consumers'
import { connect as connectTls } from 'node:tls'
import { gunzipSync } from 'node:zlib'
import type { Gate } from '../../src/http/gated-server.js'
import { selfSigned } from './certificate.js'

export type Asked = {
  readonly method?: string
  readonly headers?: Readonly<Record<string, string>>
}
type Head = {
  readonly status: number
  readonly headers: Readonly<Record<string, string | string[] | undefined>>
}
export type Got = Head & {
  readonly bytes: Buffer
  /** The body of the response as text, decompressed if it has Content-Encoding gzip. */
  readonly text: string
}

type Opened = Head & { readonly body: Readable; readonly destroy: () => void }

export type Transport = {
  readonly name: string
  readonly scheme: 'http' | 'https'
  /** The access gate with which a server must `listen` for this transport; undefined for unencrypted HTTP. */
  readonly gate: Gate | undefined
  /** Sends a request on a new connection. Resolves when the response headers arrive; the caller reads the body. */
  readonly open: (url: string, asked?: Asked) => Promise<Opened>
  /** Opens a connection on which a test sends raw bytes of HTTP/1.1. It is undefined for HTTP/2. */
  readonly dial: ((port: number) => Promise<Socket>) | undefined
}

/** Sends a request on a new connection, and reads the response with its body. Rejects if the body is cut short. */
export async function ask({ open }: Transport, url: string, asked?: Asked): Promise<Got> {
  const { status, headers, body, destroy } = await open(url, asked)
  try {
    const bytes = await buffer(body)
    // The HTTP/2 client of Node.js reports no error for a stream that was canceled.
    if ('rstCode' in body && body.rstCode !== constants.NGHTTP2_NO_ERROR)
      throw new Error(`the server canceled the response after ${bytes.length} bytes`)
    const isZipped = headers['content-encoding'] === 'gzip' && bytes.length > 0
    return { status, headers, bytes, text: (isZipped ? gunzipSync(bytes) : bytes).toString() }
  } finally {
    destroy()
  }
}

const certificate = selfSigned()

/** Creates an access gate for `listen` that encrypts with a self-signed certificate and allows every client. */
export const openGate = (http2: boolean): Gate => ({
  tls: { http2 },
  getTlsOptions: () => certificate,
  findClientProblem: () => undefined,
  getHeaders: () => [],
  checkRequest: () => undefined,
})

export const TRANSPORTS: readonly Transport[] = [
  {
    name: 'HTTP/1.1',
    scheme: 'http',
    gate: undefined,
    open: (url, { method = 'GET', headers = {} } = {}) =>
      received(requestPlain(url, { method, headers, agent: false })),
    dial: async (port) => {
      const socket = connectPlain(port, '127.0.0.1')
      await once(socket, 'connect')
      return socket
    },
  },
  {
    name: 'HTTP/1.1 with TLS',
    scheme: 'https',
    gate: openGate(false),
    open: (url, { method = 'GET', headers = {} } = {}) =>
      // Without `servername`, Node.js would check the certificate, which is for localhost, against the Host header.
      received(requestEncrypted(url, { method, headers, agent: false, ca: certificate.cert, servername: 'localhost' })), // prettier-ignore
    dial: async (port) => {
      const socket = connectTls({ port, host: '127.0.0.1', ca: certificate.cert })
      await once(socket, 'secureConnect')
      return socket
    },
  },
  {
    name: 'HTTP/2',
    scheme: 'https',
    gate: openGate(true),
    open: openHttp2,
    dial: undefined,
  },
]

async function received(sent: ReturnType<typeof requestPlain>): Promise<Opened> {
  sent.end()
  const [body] = (await once(sent, 'response')) as [IncomingMessage]
  const destroy = () => {
    sent.destroy()
  }
  return { status: body.statusCode!, headers: body.headers, body, destroy }
}

async function openHttp2(
  url: string,
  { method = 'GET', headers = {} }: Asked = {},
): Promise<Opened> {
  const { origin, pathname, search } = new URL(url)
  const session = connectHttp2(origin, { ca: certificate.cert })
  const failed = once(session, 'close').then(() => {
    throw new Error('the server closed the HTTP/2 connection without a response')
  })
  failed.catch(() => undefined)
  // HTTP/2 has the pseudo-header `:authority` instead of the header Host.
  const { Host, ...others } = headers
  const body = session.request({
    ...others,
    ':method': method,
    ':path': pathname + search,
    ...(Host !== undefined && { ':authority': Host }),
  })
  const [head] = (await Promise.race([once(body, 'response'), failed])) as [IncomingHttpHeaders]
  const destroy = () => {
    session.destroy()
  }
  return { status: Number(head[':status']), headers: head, body, destroy }
}
