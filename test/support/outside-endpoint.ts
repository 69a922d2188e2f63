/** A scripted server on loopback that a check from outside connects to. */

import { writeFile } from 'node:fs/promises'
import { once } from 'node:events'
import { createServer, type AddressInfo, type Socket } from 'node:net'
import { join } from 'node:path'
import type { TestContext } from 'node:test'
import * as tls from 'node:tls'
import { checkEndpoint } from '../../src/outside/probe/check-endpoint.js'
import { createTrustStore } from '../../src/outside/probe/trust-store.js'
import type { Endpoint, EndpointCheck, SrvService } from '../../src/outside/outside-check.js'
import { createCertificate, generalName, type CertificateRequest } from './certificate.js'
import { temporaryDirectory } from './setup/process.js'

export const DOMAIN = 'one.example'

const root = createCertificate({ subject: 'Test Root', isAuthority: true })
const intermediate = createCertificate({
  subject: 'Test Intermediate',
  issuer: root,
  isAuthority: true,
})

/** Creates a certificate for the domain, by the intermediate authority of the tests. */
export const createLeaf = (request: Partial<CertificateRequest> = {}) =>
  createCertificate({
    subject: DOMAIN,
    issuer: intermediate,
    names: [generalName.dns(DOMAIN)],
    ...request,
  })

const leaf = createLeaf()

export const testAuthorities = { root, intermediate }

/** The TLS options of a server whose certificate a check accepts. */
export const goodTls: tls.TlsOptions = { key: leaf.key, cert: leaf.cert + intermediate.cert }

/** What a scripted server does with a connection. A step can return a promise. */
export type Script = (peer: ScriptedPeer) => void | Promise<void>

export type ScriptedPeer = {
  /** The socket of the connection, which has TLS after `secure`. */
  socket(): Socket
  /** Resolves when what has arrived since the last call matches. Returns the text. */
  receive(pattern: RegExp): Promise<string>
  send(text: string | Buffer): void
  /** Starts TLS as the server. Resolves after the handshake. */
  secure(options?: tls.TlsOptions): Promise<void>
}

/** Starts a server on loopback that runs a script for each connection. Each connection takes the next script, the last one repeats. */
export async function withScriptedServer(
  t: Pick<TestContext, 'after'>,
  ...scripts: readonly Script[]
) {
  const sockets = new Set<Socket>()
  const received: string[] = []
  let connections = 0
  const server = createServer((socket) => {
    sockets.add(socket)
    socket.on('error', () => undefined)
    socket.setNoDelay(true)
    const script = scripts[Math.min(connections++, scripts.length - 1)]
    const run = async () => {
      await script?.(createPeer(socket, received, (secured) => sockets.add(secured)))
    }
    // A script that waits for more than the check sends ends with its connection.
    run().catch(() => socket.destroy())
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.after(() => {
    for (const socket of sockets) socket.destroy()
    server.close()
  })
  return {
    port: (server.address() as AddressInfo).port,
    /** Everything that the server received, also inside TLS. */
    received: () => received.join(''),
    connections: () => connections,
  }
}

function createPeer(
  first: Socket,
  received: string[],
  onSecured: (socket: Socket) => void,
): ScriptedPeer {
  let current = first
  let text = ''
  let recheck = () => {}
  const watch = (socket: Socket) => {
    current = socket
    socket.on('data', (chunk: Buffer) => {
      text += chunk.toString('latin1')
      received.push(chunk.toString('latin1'))
      recheck()
    })
  }
  watch(first)
  return {
    socket: () => current,
    send: (data) => current.write(data),
    receive: (pattern) =>
      new Promise((resolve, reject) => {
        recheck = () => {
          if (!pattern.test(text)) return
          recheck = () => {}
          const found = text
          text = ''
          resolve(found)
        }
        current.once('close', () => {
          reject(new Error('closed'))
        })
        recheck()
      }),
    async secure(options = goodTls) {
      first.removeAllListeners('data')
      const server = tls.createServer(options)
      const secured = await new Promise<tls.TLSSocket>((resolve, reject) => {
        server.once('secureConnection', resolve).once('tlsClientError', reject)
        server.emit('connection', first)
      })
      onSecured(secured)
      secured.on('error', () => undefined)
      watch(secured)
    },
  }
}

/** Returns the header of a stream from a server. */
export const header = (xmlns = 'jabber:client', more = "version='1.0'") =>
  `<?xml version='1.0'?><stream:stream xmlns='${xmlns}' xmlns:stream='http://etherx.jabber.org/streams' id='1' from='${DOMAIN}' ${more}>`

export const STARTTLS =
  "<stream:features><starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'><required/></starttls></stream:features>"
export const PROCEED = "<proceed xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>"
export const SASL =
  "<stream:features><mechanisms xmlns='urn:ietf:params:xml:ns:xmpp-sasl'><mechanism>SCRAM-SHA-1</mechanism><mechanism>PLAIN</mechanism></mechanisms></stream:features>"
export const DIALBACK =
  "<stream:features><dialback xmlns='urn:xmpp:features:dialback'/></stream:features>"

/** Answers like a server up to TLS: with STARTTLS, or with TLS from the start. */
export async function reachTls(
  peer: ScriptedPeer,
  { options = goodTls, isDirect = false, xmlns = 'jabber:client' } = {},
): Promise<void> {
  if (!isDirect) {
    await peer.receive(/<stream:stream/)
    peer.send(header(xmlns) + STARTTLS)
    await peer.receive(/<starttls/)
    peer.send(PROCEED)
  }
  await peer.secure(options)
}

/** Answers like a whole server. */
export const healthyServer =
  (
    options: {
      readonly options?: tls.TlsOptions
      readonly isDirect?: boolean
      readonly xmlns?: string
      readonly features?: string
    } = {},
  ): Script =>
  async (peer) => {
    await reachTls(peer, options)
    await peer.receive(/<stream:stream/)
    peer.send(header(options.xmlns) + (options.features ?? SASL))
    await peer.receive(/<\/stream:stream>/)
    peer.send('</stream:stream>')
    peer.socket().end()
  }

/** Creates a trust store with the authority of the tests. All tests of a file share it, because its creation is slow. */
export async function createTestTrust() {
  const directory = await temporaryDirectory('prosody-exporter-trust')
  const extraFile = join(directory.path, 'root.pem')
  await writeFile(extraFile, root.cert)
  const trust = createTrustStore({ extraFile })
  await directory.remove()
  return trust
}

/** A limit that lets every connection pass. */
export const NO_LIMIT = {
  run: <T>(_address: string, connect: () => Promise<T>): Promise<T> => connect(),
}

export type ProbeRequest = Partial<Omit<Endpoint<SrvService>, 'port'>> & {
  readonly port: number
  readonly timeoutMs?: number
  readonly s2sFrom?: string
  readonly signal?: AbortSignal
  readonly trust: ReturnType<typeof createTrustStore>
}

/** Checks an endpoint on loopback. */
export function probe({ timeoutMs, s2sFrom, signal, trust, ...endpoint }: ProbeRequest) {
  return checkEndpoint(
    {
      domain: DOMAIN,
      service: 'xmpp-client',
      target: `xmpp.${DOMAIN}`,
      family: 'ipv4',
      addresses: ['127.0.0.1'],
      ...endpoint,
    },
    {
      // Tests of a deadline set it. All other tests end without it.
      timeoutMs: timeoutMs ?? 120_000,
      trust,
      limit: NO_LIMIT,
      signal: signal ?? new AbortController().signal,
      ...(s2sFrom !== undefined && { s2sFrom }),
    },
  )
}

/** Returns the problems of a check, each as `code: detail`. */
export const problemsOf = ({ problems }: EndpointCheck) =>
  problems.map(({ code, detail }) => (detail === undefined ? code : `${code}: ${detail}`))
