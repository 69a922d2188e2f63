import { createHash, randomBytes } from 'node:crypto'
import type { IncomingMessage } from 'node:http'
import { domainToUnicode } from 'node:url'
import { xml, type Element } from '../../xmpp/xml.js'
import { NS_STREAM } from '../probe/features.js'
import { describeHttpError, MAX_BODY_BYTES, startRequest } from './https-request.js'
import { WebFailure, type WebConnection, type WebFindings } from './web-connection.js'
import { createFrameReader, encodeFrame, OPCODES } from './web-socket-frames.js'
import { readWebFeatures } from './web-stream.js'
import { parseXmlDocument } from './xml-document.js'

/** RFC 7395 §3.3 */
const NS_FRAMING = 'urn:ietf:params:xml:ns:xmpp-framing'
/** RFC 6455 §1.3 */
const ACCEPT_GUID = '258EAFA5-E914-47DA-95CA-C5AB0DC85B11'
/** The status code of a normal end (RFC 6455 §7.4.1). */
const NORMAL_CLOSURE = Buffer.from([1000 >> 8, 1000 & 0xff])

/**
 * Opens an XMPP stream over a WebSocket (RFC 7395), reads the stream features, and closes the stream. It never
 * authenticates.
 *
 * The check needs one handshake, two short messages to the server, and a few from it. A library would add a runtime
 * dependency, and could not show at which of these steps the server fails.
 */
export async function checkWebSocket(
  domain: string,
  url: URL,
  connection: WebConnection,
  findings: WebFindings,
): Promise<void> {
  const startedAt = performance.now()
  const messages = await upgrade(url, connection, findings)
  const send = (element: Element) => {
    findings.transcript.sent(String(element))
    connection.socket.write(encodeFrame(OPCODES.text, Buffer.from(String(element))))
  }
  // A server knows its hosts by their Unicode form (RFC 7622 §3.2).
  send(xml('open', { xmlns: NS_FRAMING, to: domainToUnicode(domain), version: '1.0' }))
  const opened = await messages.next()
  if (opened.is('close', NS_FRAMING)) throw describeRefusal(opened)
  if (!opened.is('open', NS_FRAMING))
    throw new WebFailure('web_not_xmpp', `<${opened.name}> instead of <open>`)
  const features = await messages.next()
  if (features.is('close', NS_FRAMING)) throw describeRefusal(features)
  readWebFeatures(features, findings)
  findings.seconds.stream = (performance.now() - startedAt) / 1000
  send(xml('close', { xmlns: NS_FRAMING }))
  await closeStream(messages, connection)
}

/** A server can close the stream before its features, for example to send the client elsewhere (RFC 7395 §3.6.1). */
function describeRefusal(close: Element): WebFailure {
  const other = close.attrs['see-other-uri']
  return new WebFailure('stream_closed', other === undefined ? undefined : `see ${other}`)
}

/** Waits for the `<close/>` of the server, and ends the WebSocket. The check ignores later data. */
async function closeStream(
  messages: Awaited<ReturnType<typeof upgrade>>,
  { socket }: WebConnection,
): Promise<void> {
  try {
    while (!(await messages.next()).is('close', NS_FRAMING));
  } catch {
    return
  }
  socket.write(encodeFrame(OPCODES.close, NORMAL_CLOSURE))
}

/** Sends the handshake of RFC 6455 §4.1. Returns the XMPP elements that arrive. */
async function upgrade(url: URL, connection: WebConnection, findings: WebFindings) {
  const key = randomBytes(16).toString('base64')
  findings.transcript.sent(`GET ${url.href}`)
  const sent = startRequest(
    {
      method: 'GET',
      url,
      headers: {
        Connection: 'Upgrade',
        Upgrade: 'websocket',
        'Sec-WebSocket-Version': '13',
        'Sec-WebSocket-Key': key,
        'Sec-WebSocket-Protocol': 'xmpp',
      },
    },
    connection.socket,
  )
  const answered = new Promise<{ response: IncomingMessage; head: Buffer }>((resolve, reject) => {
    sent.once('upgrade', (response: IncomingMessage, _: unknown, head: Buffer) => {
      resolve({ response, head })
    })
    sent.once('response', (response) => {
      response.resume()
      findings.transcript.received(`HTTP ${response.statusCode ?? 0}`)
      reject(new WebFailure('web_status', `HTTP ${response.statusCode ?? 0}`))
    })
    sent.on('error', (error) => {
      reject(describeHttpError(error))
    })
  })
  const { response, head } = await connection.wait(answered)
  findings.transcript.received('HTTP 101')
  const { 'sec-websocket-accept': accept, 'sec-websocket-protocol': protocol } = response.headers
  if (accept !== createHash('sha1').update(`${key}${ACCEPT_GUID}`).digest('base64'))
    throw new WebFailure('web_failed', 'Wrong Sec-WebSocket-Accept.')
  if (protocol !== 'xmpp')
    throw new WebFailure('web_not_xmpp', 'The server does not select the subprotocol xmpp.')
  return readMessages(connection, head, findings)
}

/** Reads the messages of a WebSocket, one XMPP element each (RFC 7395 §3.3.3). */
function readMessages({ socket, wait }: WebConnection, head: Buffer, findings: WebFindings) {
  const reader = createFrameReader(MAX_BODY_BYTES)
  const elements: Element[] = []
  let bytes = 0
  // What ends the messages. The elements from before it are still returned.
  let failure: unknown
  let wake = () => {}

  const read = (chunk: Buffer): void => {
    bytes += chunk.length
    if (bytes > MAX_BODY_BYTES)
      throw new WebFailure('web_not_xmpp', `More than ${MAX_BODY_BYTES} bytes.`)
    for (const { kind, payload } of reader.push(chunk)) {
      if (kind === 'ping') socket.write(encodeFrame(OPCODES.pong, payload))
      if (kind === 'close') throw new WebFailure('stream_closed', describeClose(payload))
      if (kind === 'binary') throw new WebFailure('web_not_xmpp', 'A binary message.')
      if (kind === 'text') elements.push(readElement(payload.toString(), findings))
    }
  }
  const onData = (chunk: Buffer) => {
    if (failure !== undefined) return
    try {
      read(chunk)
    } catch (error) {
      const isKnown = error instanceof WebFailure
      failure = isKnown ? error : new WebFailure('web_not_xmpp', (error as Error).message)
    }
    wake()
  }
  onData(head)
  socket.on('data', onData)
  return {
    /** @throws {WebFailure} */
    async next(): Promise<Element> {
      for (;;) {
        const element = elements.shift()
        if (element) return element
        if (failure !== undefined) throw failure as WebFailure
        const woken = new Promise<void>((resolve) => {
          wake = resolve
        })
        await wait(woken)
      }
    },
  }
}

function readElement(text: string, findings: WebFindings): Element {
  const element = parseXmlDocument(text)
  if (!element) throw new WebFailure('web_not_xmpp', 'A message that is not an XML element.')
  findings.transcript.received(String(element))
  // COMPAT Prosody 13.0.1: Its stream errors over WebSocket have the prefix `stream`, but do not declare it.
  if (element.name.startsWith('stream:')) element.attrs['xmlns:stream'] ??= NS_STREAM
  return element
}

const describeClose = (payload: Buffer): string | undefined =>
  payload.length < 2
    ? undefined
    : `${payload.readUInt16BE(0)} ${payload.subarray(2).toString()}`.trim()
