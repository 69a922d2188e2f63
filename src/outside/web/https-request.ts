import { request, type ClientRequest, type IncomingMessage } from 'node:http'
import type { Duplex } from 'node:stream'
import type { WebFindings } from './web-connection.js'
import { WebFailure, type WebConnection } from './web-connection.js'

/** A host-meta or the features of a stream have a few KB. `parseXmlDocument` needs a limit. */
export const MAX_BODY_BYTES = 64 * 1024

export type HttpsRequest = {
  readonly method: 'GET' | 'POST'
  readonly url: URL
  readonly headers?: Readonly<Record<string, string>>
  readonly body?: string
}

export type HttpsResponse = {
  readonly status: number
  readonly contentType: string
  /** The header `Location`. */
  readonly location?: string
  readonly body: string
}

/**
 * Creates a client that sends HTTP requests over one connection, one after the other. `node:http` encrypts nothing
 * itself, so it works on a TLS connection that is already open.
 */
export function createHttpsClient({ socket, wait }: WebConnection, findings: WebFindings) {
  let isReusable = true
  return {
    /** Whether the server keeps the connection open for another request. */
    isReusable: () => isReusable && !socket.destroyed,
    /** @throws {WebFailure} No response, no HTTP, or a response that is too large. */
    async send(message: HttpsRequest): Promise<HttpsResponse> {
      findings.transcript.sent(`${message.method} ${message.url.href}`)
      const startedAt = performance.now()
      const sent = startRequest(message, socket)
      const response = await wait(receiveResponse(sent))
      const { headers, statusCode: status = 0 } = response
      findings.transcript.received(`HTTP ${status} ${headers['content-type'] ?? ''}`)
      isReusable = !/\bclose\b/i.test(headers.connection ?? '') && response.httpVersion === '1.1'
      const body = await wait(readBody(response))
      // If the server answers before the request is sent, node:http still needs the socket for it.
      isReusable &&= sent.writableFinished
      findings.seconds.stream ??= (performance.now() - startedAt) / 1000
      const { location } = headers
      return {
        status,
        contentType: headers['content-type'] ?? '',
        ...(location !== undefined && { location }),
        body,
      }
    },
  }
}

/**
 * Starts a request on an open connection. With `keep-alive` and no agent, node:http leaves the connection open after
 * the response, unless the server closes it.
 */
export function startRequest(
  { method, url, headers, body }: HttpsRequest,
  socket: Duplex,
): ClientRequest {
  const sent = request({
    createConnection: () => socket,
    method,
    path: `${url.pathname}${url.search}`,
    headers: {
      Host: url.host,
      'User-Agent': 'prosody-exporter',
      Connection: 'keep-alive',
      ...(body !== undefined && { 'Content-Length': String(Buffer.byteLength(body)) }),
      ...headers,
    },
  })
  sent.end(body)
  return sent
}

function receiveResponse(sent: ClientRequest): Promise<IncomingMessage> {
  return new Promise((resolve, reject) => {
    sent.once('response', resolve)
    sent.on('error', (error) => {
      reject(describeHttpError(error))
    })
  })
}

/** Describes an error of `node:http`. Its parser reports anything but HTTP with a code such as HPE_INVALID_CONSTANT. */
export function describeHttpError({ code = '', message }: NodeJS.ErrnoException): WebFailure {
  if (code.startsWith('HPE_')) return new WebFailure('web_failed', 'Not an HTTP response.')
  if (code === 'ECONNRESET')
    return new WebFailure('web_failed', 'The server closed the connection.')
  return new WebFailure('web_failed', message)
}

function readBody(response: IncomingMessage): Promise<string> {
  return new Promise((resolve, reject) => {
    const chunks: Buffer[] = []
    let bytes = 0
    response.on('data', (chunk: Buffer) => {
      bytes += chunk.length
      chunks.push(chunk)
      if (bytes <= MAX_BODY_BYTES) return
      reject(new WebFailure('web_failed', `A response of more than ${MAX_BODY_BYTES} bytes.`))
      response.destroy()
    })
    response.once('end', () => {
      resolve(Buffer.concat(chunks).toString())
    })
    response.once('error', (error) => {
      reject(describeHttpError(error))
    })
  })
}
