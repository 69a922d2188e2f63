/**
 * Creates traffic that changes an XMPP server's metrics: encrypted connections and broken streams, and the
 * certificates for them.
 */

import { once } from 'node:events'
import { connect, type Socket } from 'node:net'
import { join } from 'node:path'
import type { TestContext } from 'node:test'
import { connect as connectTls } from 'node:tls'
import { temporaryDirectory } from './setup/process.js'
import { openssl } from './openssl.js'

/** Creates a directory with a self-signed certificate for each host. The certificates are valid for `days` days. */
export async function makeCertificates(
  t: Pick<TestContext, 'after'>,
  hosts: readonly string[],
  days: number,
): Promise<string> {
  const { path, remove } = await temporaryDirectory('prosody-exporter-certs')
  t.after(remove)
  for (const host of hosts) {
    await openssl([
      ...['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes'],
      ...['-subj', `/CN=${host}`, '-addext', `subjectAltName=DNS:${host}`, '-days', String(days)],
      ...['-keyout', join(path, `${host}.key`), '-out', join(path, `${host}.crt`)],
    ])
  }
  return path
}

const header = (namespace: string, host: string) =>
  `<?xml version='1.0'?><stream:stream xmlns='${namespace}' version='1.0' from='far.example' ` +
  `to='${host}' xmlns:stream='http://etherx.jabber.org/streams'>`

/** Ends a stream, and waits until the connection is closed. The server may close it with a reset. */
async function closeOf(socket: Socket, end: string) {
  // `once` of node:events would reject after a reset.
  const closed = new Promise((resolve) => socket.once('close', resolve))
  socket.on('error', () => undefined)
  socket.end(end)
  await closed
}

/** Opens a stream to the XMPP server as a remote server does, and breaks the stream with malformed XML. */
export async function speakNonsense(port: number, host: string) {
  const socket = connect(port, '127.0.0.1')
  socket.resume()
  socket.write(header('jabber:server', host))
  await once(socket, 'data')
  await closeOf(socket, '<a></b>')
}

/**
 * Opens a stream as a client does, encrypts it without checking the server's certificate, and closes it.
 *
 * @see RFC 6120 §5.4
 */
export async function encryptAsClient(port: number, host: string) {
  const socket = connect(port, '127.0.0.1')
  const read = async (what: string) => {
    let text = ''
    while (!text.includes(what)) {
      const [chunk] = (await once(socket, 'data')) as [Buffer]
      text += String(chunk)
    }
  }
  socket.write(header('jabber:client', host))
  await read('</stream:features>')
  socket.write("<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>")
  await read('<proceed')
  const secure = connectTls({ socket, rejectUnauthorized: false })
  await once(secure, 'secureConnect')
  secure.write(header('jabber:client', host))
  await once(secure, 'data')
  secure.resume()
  await closeOf(secure, '</stream:stream>')
}
