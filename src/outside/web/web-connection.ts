import type { TLSSocket } from 'node:tls'
import type {
  ConnectionPhase,
  Problem,
  SentCertificate,
  UnplacedProblem,
} from '../outside-check.js'
import type { ConnectionLimit } from '../connection-limit.js'
import { connectTls } from '../probe/connect-tls.js'
import type { LinkEnd } from '../probe/endpoint-link.js'
import { judgeCertificate } from '../probe/judge-certificate.js'
import { DETAIL_LENGTH, nameFailure } from '../probe/name-failure.js'
import { toPlainLine, type Transcript } from '../probe/transcript.js'
import type { TrustStore } from '../probe/trust-store.js'

/** What the check of one address found so far. */
export type WebFindings = {
  readonly problems: UnplacedProblem[]
  readonly seconds: Partial<Record<ConnectionPhase, number>>
  readonly transcript: Transcript
  tls?: { readonly version: string; readonly cipher: string }
  certificate?: SentCertificate
  mechanisms?: readonly string[]
  channelBindings?: readonly string[]
}

/** Ends the check of one address. */
export class WebFailure extends Error {
  override readonly name = 'WebFailure'

  constructor(
    readonly code: Problem['code'],
    readonly detail?: string,
  ) {
    super(detail === undefined ? code : `${code}: ${detail}`)
  }
}

export type WebOptions = {
  /** The time for each connection, from TCP to the last answer. */
  readonly timeoutMs: number
  readonly trust: TrustStore
  readonly limit: ConnectionLimit
  readonly signal: AbortSignal
}

/** Where a connection goes: to this address only, whatever the name of the host resolves to by then. */
export type WebTarget = {
  readonly address: string
  /** The host name for SNI, for the certificate, and for the `Host` header. */
  readonly host: string
  readonly port: number
}

export type WebConnection = {
  readonly socket: TLSSocket
  /**
   * Waits for an answer of the server.
   *
   * @throws {WebFailure} `web_failed`: the deadline of the connection has passed, or the connection has ended.
   */
  readonly wait: <T>(answer: Promise<T>) => Promise<T>
}

type Phase = 'tcp' | 'tls' | 'http'

/** The longest wait for the other side to close a connection that has served its purpose. */
const CLOSE_MS = 1000

/**
 * Opens a TLS connection, judges the certificate, and calls `use`. All that goes wrong becomes a problem in `findings`.
 * The connection is closed when `use` has finished.
 *
 * @throws The reason of `options.signal`, when it is aborted.
 */
export function withWebConnection(
  target: WebTarget,
  findings: WebFindings,
  options: WebOptions,
  use: (connection: WebConnection) => Promise<void>,
): Promise<void> {
  const run = async () => {
    const { signal } = options
    signal.throwIfAborted()
    const startedAt = performance.now()
    const { address, host, port } = target
    findings.transcript.note(`A TLS connection to ${address} port ${port} for ${host}.`)
    const socket = connectTls({
      host: address,
      port,
      servername: host,
      secureContext: options.trust.getContext(),
      ALPNProtocols: ['http/1.1'],
    })
    const end = watchEnd(socket, options)
    try {
      await openTls(socket, findings, end, startedAt)
      judgeTls(socket, host, findings, options.trust)
      await use({ socket, wait: (answer) => Promise.race([answer, end.failure]) })
    } catch (error) {
      signal.throwIfAborted()
      if (!(error instanceof WebFailure)) throw error
      addProblem(findings, error.code, error.detail)
    } finally {
      end.stop()
      await closeSocket(socket, signal)
    }
  }
  return options.limit.run(target.address, run, options.signal)
}

export function addProblem(findings: WebFindings, code: Problem['code'], detail?: string): void {
  const plain = detail === undefined ? undefined : toPlainLine(detail, DETAIL_LENGTH)
  findings.problems.push({ code, ...(plain !== undefined && { detail: plain }) })
  findings.transcript.note(plain === undefined ? code : `${code}: ${plain}`)
}

type End = ReturnType<typeof watchEnd>

/** Watches for the first event that ends the connection, and returns it as a failure of the phase in which it came. */
function watchEnd(socket: TLSSocket, { timeoutMs, signal }: WebOptions) {
  let phase: Phase = 'tcp'
  let isWatching = true
  let reject: (error: unknown) => void = () => {}
  const failure = new Promise<never>((_, rejectIt) => {
    reject = rejectIt
  })
  // Nothing waits for this promise after the last answer.
  failure.catch(() => {})
  const fail = (end: LinkEnd) => {
    // Most connections end while the check closes them. Nothing waits then, and an error would only cost time.
    if (isWatching) reject(nameWebFailure(end, phase, { bytes: socket.bytesRead, timeoutMs }))
  }
  const abort = () => {
    reject(signal.reason)
    socket.destroy()
  }
  const timer = setTimeout(() => {
    fail({ kind: 'deadline' })
    socket.destroy()
  }, timeoutMs)
  signal.addEventListener('abort', abort)
  socket.on('error', ({ code = '', message }: NodeJS.ErrnoException) => {
    fail({ kind: 'network', code, message })
  })
  socket.on('close', () => {
    fail({ kind: 'closed' })
  })
  return {
    failure,
    enter(next: Phase) {
      phase = next
    },
    stop() {
      isWatching = false
      clearTimeout(timer)
      signal.removeEventListener('abort', abort)
    },
  }
}

async function openTls(
  socket: TLSSocket,
  { seconds }: WebFindings,
  end: End,
  startedAt: number,
): Promise<void> {
  const when = (event: string) =>
    Promise.race([
      new Promise<void>((resolve) => {
        socket.once(event, resolve)
      }),
      end.failure,
    ])
  await when('connect')
  const connectedAt = performance.now()
  seconds.tcp = (connectedAt - startedAt) / 1000
  end.enter('tls')
  await when('secureConnect')
  seconds.tls = (performance.now() - connectedAt) / 1000
  end.enter('http')
}

function judgeTls(socket: TLSSocket, host: string, findings: WebFindings, trust: TrustStore): void {
  const version = socket.getProtocol() ?? ''
  const cipher = socket.getCipher().name
  findings.tls ??= { version, cipher }
  findings.transcript.note(`TLS works with ${version} and ${cipher}.`)
  if (!/^TLSv1\.[23]$/.test(version)) addProblem(findings, 'tls_too_old', version)
  const leaf = socket.getPeerX509Certificate()
  if (!leaf) throw new WebFailure('tls_failed', 'no certificate')
  try {
    const { certificate, problems } = judgeCertificate(leaf, {
      domain: host,
      service: 'https',
      trust,
      // COMPAT @types/node 20: Its type is Error, and the value is the code of OpenSSL, or null.
      verdict: (socket.authorizationError as unknown as string | null) ?? undefined,
      now: new Date(),
    })
    findings.certificate ??= certificate
    for (const { code, detail } of problems) addProblem(findings, code, detail)
  } catch (error) {
    addProblem(findings, 'certificate_untrusted', (error as Error).message)
  }
}

function nameWebFailure(
  end: LinkEnd,
  phase: Phase,
  { bytes, timeoutMs }: { readonly bytes: number; readonly timeoutMs: number },
): WebFailure {
  if (phase !== 'http') {
    const { code, detail } = nameFailure(end, {
      stage: phase,
      isDirectTls: true,
      isServerService: false,
      received: bytes,
      hasKeys: false,
    })
    return new WebFailure(code, detail)
  }
  if (end.kind === 'deadline')
    return new WebFailure('web_failed', `No answer within ${timeoutMs / 1000} s.`)
  const isReset = end.kind !== 'network' || end.code === 'ECONNRESET'
  const detail = isReset ? 'The server closed the connection.' : end.code || end.message
  return new WebFailure('web_failed', detail)
}

/** Closes the connection in order: TLS first (RFC 8446 §6.1), then TCP. */
async function closeSocket(socket: TLSSocket, signal: AbortSignal): Promise<void> {
  if (!socket.destroyed && !signal.aborted) {
    const closed = new Promise<void>((resolve) => {
      const timer = setTimeout(resolve, CLOSE_MS)
      socket.once('close', () => {
        clearTimeout(timer)
        resolve()
      })
    })
    socket.resume()
    socket.end()
    await closed
  }
  socket.destroy()
}
