import { connect, type Socket } from 'node:net'
import { connect as connectEncrypted } from 'node:tls'
import { parseService } from '../../xmpp/address.js'
import { explain } from '../../xmpp/advice.js'
import { recognizeProtocol, type PortProtocol } from '../../xmpp/port-protocol.js'
import type { StreamEnd } from '../../xmpp/stream-end.js'

const STEP_MS = 3000

/**
 * Finds out whether a port speaks HTTP or expects TLS, after it did not answer the stream header of the exporter. Some
 * servers answer only a request of their own protocol.
 *
 * @param end How the stream ended. After an answer from an XMPP server or another protocol, the port is not probed.
 * @returns One line for the operator; undefined if the protocol is unknown.
 */
export async function probePort(
  { service, domain }: { service: string; domain: string },
  end: StreamEnd | undefined,
): Promise<string | undefined> {
  if (end?.kind !== 'closed' && end?.kind !== 'timeout') return undefined
  // The port sent the header of a component stream.
  if (end.condition === 'handshake') return undefined
  const address = parseService(service)
  const [http, tls] = await Promise.all([probeHttp(address), probeTls(address)])
  const condition = http ?? tls
  if (condition === undefined) return undefined
  return explain({ kind: 'protocol', condition, text: '' }, { service, domain, wasOnline: false })
}

type Address = ReturnType<typeof parseService>

async function probeHttp(address: Address): Promise<PortProtocol | undefined> {
  const socket = connect(address, () => socket.write('GET / HTTP/1.0\r\n\r\n'))
  const start = await waitFor<Buffer>(socket, 'data')
  return start && recognizeProtocol(start.toString('latin1'))
}

async function probeTls(address: Address): Promise<PortProtocol | undefined> {
  const socket = connectEncrypted({ ...address, rejectUnauthorized: false })
  return await waitFor(socket, 'secureConnect', 'tls')
}

/** Waits for an event, and then closes the socket. Returns undefined if the connection ends or is silent before. */
function waitFor<T>(socket: Socket, event: string, value?: T): Promise<T | undefined> {
  return new Promise((resolve) => {
    socket
      .once(event, (data: T) => {
        resolve(value ?? data)
        socket.destroy()
      })
      .once('close', () => {
        resolve(undefined)
      })
      .on('error', () => undefined)
      .setTimeout(STEP_MS, () => socket.destroy())
  })
}
