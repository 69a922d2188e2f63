import { isIP } from 'node:net'
import type { TLSSocket } from 'node:tls'
import { xml, type Element } from '../../xmpp/xml.js'
import type {
  ConnectionPhase,
  Endpoint,
  EndpointCheck,
  SentCertificate,
  SrvService,
} from '../outside-check.js'
import type { EndpointLink } from './endpoint-link.js'
import {
  isMissingCertificate,
  judgeFirstElement,
  NS_STARTTLS,
  NS_STREAM,
  readFeatures,
} from './features.js'
import { judgeCertificate } from './judge-certificate.js'
import {
  CERTIFICATE_REQUIRED,
  DETAIL_LENGTH,
  type ConnectionStage,
  type NamedFailure,
} from './name-failure.js'
import { toPlainLine, type Transcript } from './transcript.js'
import type { TrustStore } from './trust-store.js'

/** A problem that ends a conversation, although the connection could continue. */
export class ProbeError extends Error {
  override name = 'ProbeError'
  constructor(readonly failure: NamedFailure) {
    super(failure.code)
  }
}

/** The results of a conversation so far. */
export type Findings = {
  readonly problems: NamedFailure[]
  readonly seconds: Partial<Record<ConnectionPhase, number>>
  tls?: NonNullable<EndpointCheck['tls']>
  certificate?: SentCertificate
  mechanisms?: readonly string[]
  channelBindings?: readonly string[]
  offersDialback?: boolean
}

export type Conversation = {
  readonly endpoint: Endpoint<SrvService>
  readonly address: string
  readonly link: EndpointLink
  readonly transcript: Transcript
  readonly findings: Findings
  /** What the conversation waits for. */
  readonly progress: { stage: ConnectionStage }
  readonly trust: TrustStore
  readonly s2sFrom: string | undefined
}

export const isDirectTls = (service: SrvService) => service.startsWith('xmpps-')
export const isServerService = (service: SrvService) => service.endsWith('-server')

/**
 * Opens a stream as a client or another server does, up to the features after TLS. It never authenticates.
 *
 * @throws {ProbeError | LinkEndError} The conversation cannot continue.
 * @see RFC 6120 §4 and §5, XEP-0368 for direct TLS
 */
export async function converse(conversation: Conversation): Promise<void> {
  const { endpoint, address, link, findings, progress, transcript } = conversation
  const isDirect = isDirectTls(endpoint.service)
  let startedAt = performance.now()
  const endPhase = (phase: ConnectionPhase) => {
    const now = performance.now()
    findings.seconds[phase] = (now - startedAt) / 1000
    startedAt = now
  }

  transcript.note(`Connecting to ${address}, port ${endpoint.port}.`)
  await link.connect(address, endpoint.port)
  endPhase('tcp')
  if (!isDirect) {
    await requestTls(conversation)
    endPhase('starttls')
  }
  progress.stage = 'tls'
  const socket = await link.secure(tlsOptions(conversation))
  endPhase('tls')
  judgeTls(conversation, socket)

  const { root, features } = await openStream(conversation, 'secure-')
  endPhase('stream')
  const { mechanisms, channelBindings, offersDialback } = readFeatures(features, root)
  Object.assign(findings, { mechanisms, channelBindings })
  if (!isServerService(endpoint.service)) {
    if (mechanisms.length === 0) findings.problems.push({ code: 'mechanisms_missing' })
    return
  }
  findings.offersDialback = offersDialback
  if (offersDialback || mechanisms.includes('EXTERNAL')) return
  // A server offers EXTERNAL only to a side with a certificate (XEP-0178 §3), and this check has none. OpenSSL knows
  // common signature algorithms only if the server asked for a certificate.
  const hasAsked = socket.getSharedSigalgs().length > 0
  findings.problems.push({ code: hasAsked ? CERTIFICATE_REQUIRED : 's2s_auth_missing' })
}

/** Opens a stream and requests STARTTLS. @see RFC 6120 §5.4 */
async function requestTls(conversation: Conversation): Promise<void> {
  const { link, findings, progress } = conversation
  const { root, features } = await openStream(conversation, '')
  const { hasStartTls, mechanisms } = readFeatures(features, root)
  if (!hasStartTls) throw new ProbeError({ code: 'starttls_missing' })
  if (mechanisms.length > 0)
    findings.problems.push({
      code: 'starttls_optional',
      detail: toPlainLine(mechanisms.join(', '), DETAIL_LENGTH),
    })
  progress.stage = 'starttls'
  link.send(xml('starttls', { xmlns: NS_STARTTLS }).toString())
  const answer = await link.read()
  if (answer.is('proceed', NS_STARTTLS)) return
  const error = answer.is('error', NS_STREAM) ? judgeFirstElement(answer) : undefined
  const detail = toPlainLine(answer.name, DETAIL_LENGTH)
  throw new ProbeError(error ?? { code: 'starttls_refused', detail })
}

async function openStream(
  { endpoint, link, progress, s2sFrom }: Conversation,
  prefix: '' | 'secure-',
): Promise<{ readonly root: Element; readonly features: Element }> {
  progress.stage = `${prefix}header`
  const root = await link.openStream(createHeader(endpoint, s2sFrom))
  if (!root.is('stream', NS_STREAM)) {
    const code = prefix === '' ? 'not_xmpp' : 'tls_without_xmpp'
    throw new ProbeError({ code, detail: toPlainLine(`<${root.name}>`, DETAIL_LENGTH) })
  }
  const namespace = root.attrs['xmlns']
  if (namespace !== undefined && namespace !== namespaceOf(endpoint.service))
    throw new ProbeError({ code: 'wrong_service', detail: toPlainLine(namespace, DETAIL_LENGTH) })
  progress.stage = `${prefix}features`
  const features = await link.read()
  const isServerInTls = prefix === 'secure-' && isServerService(endpoint.service)
  if (isServerInTls && isMissingCertificate(features))
    throw new ProbeError({ code: CERTIFICATE_REQUIRED })
  const failure = judgeFirstElement(features)
  if (failure) throw new ProbeError(failure)
  return { root, features }
}

const namespaceOf = (service: SrvService) =>
  isServerService(service) ? 'jabber:server' : 'jabber:client'

/** @see RFC 6120 §4.7 */
export function createHeader(
  { domain, service }: Pick<Endpoint<SrvService>, 'domain' | 'service'>,
  s2sFrom?: string,
): string {
  const stream = xml('stream:stream', {
    to: domain,
    version: '1.0',
    xmlns: namespaceOf(service),
    'xmlns:stream': NS_STREAM,
    ...(isServerService(service) && {
      'xmlns:db': 'jabber:server:dialback',
      ...(s2sFrom !== undefined && { from: s2sFrom }),
    }),
  })
  // A server of another protocol waits for the end of a line.
  return `<?xml version='1.0'?>\n${stream.toString().replace(/\/>$/, '>')}`
}

export function tlsOptions({ endpoint, trust }: Pick<Conversation, 'endpoint' | 'trust'>) {
  const { domain, service } = endpoint
  return {
    secureContext: trust.getContext(),
    servername: isIP(domain) === 0 ? domain : '',
    ...(isDirectTls(service) && { ALPNProtocols: [service.replace('xmpps-', 'xmpp-')] }),
  }
}

function judgeTls(conversation: Conversation, socket: TLSSocket): void {
  const { endpoint, findings, transcript, trust } = conversation
  const version = socket.getProtocol() ?? ''
  findings.tls = { version, cipher: socket.getCipher().name }
  transcript.note(`TLS works with ${version} and ${findings.tls.cipher}.`)
  if (!/^TLSv1\.[23]$/.test(version))
    findings.problems.push({ code: 'tls_too_old', detail: version })
  // A second call would return nothing (Node.js 20).
  const leaf = socket.getPeerX509Certificate()
  if (!leaf) throw new ProbeError({ code: 'tls_failed', detail: 'no certificate' })
  try {
    const { certificate, problems } = judgeCertificate(leaf, {
      domain: endpoint.domain,
      service: isServerService(endpoint.service) ? 'xmpp-server' : 'xmpp-client',
      trust,
      // COMPAT @types/node 20: Its type is Error, and the value is the code of OpenSSL, or null.
      verdict: (socket.authorizationError as unknown as string | null) ?? undefined,
      now: new Date(),
    })
    findings.certificate = certificate
    findings.problems.push(...problems)
    transcript.note(
      `The certificate of ${certificate.issuer} is for ${certificate.names.join(', ')}.`,
    )
  } catch (error) {
    const detail = toPlainLine((error as Error).message, DETAIL_LENGTH)
    findings.problems.push({ code: 'certificate_untrusted', detail })
  }
}
