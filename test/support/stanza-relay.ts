/** A TCP relay between the exporter and Prosody that records the stanzas of both directions. */

import xml, { type Element } from '@xmpp/xml'
import { once } from 'node:events'
import { connect, createServer, type AddressInfo, type Socket } from 'node:net'
import type { TestContext } from 'node:test'

export type StanzaRelay = {
  readonly port: number
  /** The value of `--xmpp.service` with which an exporter connects through the relay. */
  readonly service: string
  /** The stanzas that the exporter has sent so far, without the handshakes. */
  readonly sent: readonly Element[]
  /** The stanzas that Prosody has sent so far, without the answers to the handshakes. */
  readonly received: readonly Element[]
}

const NO_STANZAS = new Set(['handshake', 'stream:features', 'stream:error'])

/** Starts a relay to a port of 127.0.0.1. It stops after the test. */
export async function startStanzaRelay(
  t: Pick<TestContext, 'after'>,
  targetPort: number,
): Promise<StanzaRelay> {
  const sent: Element[] = []
  const received: Element[] = []
  const sockets = new Set<Socket>()
  const server = createServer((client) => {
    const upstream = connect(targetPort, '127.0.0.1')
    forward(client, upstream, sent)
    forward(upstream, client, received)
    for (const socket of [client, upstream]) {
      sockets.add(socket)
      socket.setNoDelay(true)
      socket.on('close', () => {
        sockets.delete(socket)
        client.destroy()
        upstream.destroy()
      })
    }
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.after(() => {
    for (const socket of sockets) socket.destroy()
    server.close()
  })
  const { port } = server.address() as AddressInfo
  return { port, service: `xmpp://127.0.0.1:${port}`, sent, received }
}

function forward(from: Socket, to: Socket, stanzas: Element[]): void {
  const parser = new xml.Parser()
  const decoder = new TextDecoder()
  parser.on('element', (element: Element) => {
    if (!NO_STANZAS.has(element.name)) stanzas.push(element)
  })
  // The bytes are forwarded unchanged, so the relay needs no error of the parser.
  parser.on('error', () => undefined)
  from.on('error', () => undefined)
  from.on('data', (chunk) => {
    parser.write(decoder.decode(chunk, { stream: true }))
    if (!to.write(chunk)) {
      from.pause()
      to.once('drain', () => from.resume())
    }
  })
}
