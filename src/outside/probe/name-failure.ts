import type { UnplacedProblem } from '../outside-check.js'
import type { ProblemCode } from '../problem-severity.js'
import type { LinkEnd } from './endpoint-link.js'
import { toPlainLine } from './transcript.js'

/** What a check waits for. `secure-` is inside TLS. */
export type ConnectionStage =
  'tcp' | 'header' | 'features' | 'starttls' | 'tls' | 'secure-header' | 'secure-features'

export type FailureContext = {
  readonly stage: ConnectionStage
  readonly isDirectTls: boolean
  readonly isServerService: boolean
  /** The number of bytes that arrived over TCP. */
  readonly received: number
  /** Whether both sides have the keys of TLS. */
  readonly hasKeys: boolean
}

/**
 * The server accepts only servers with a certificate. It ends the connection, because this check has none. That is no
 * problem: it is the default of Prosody 13.0.
 */
export const CERTIFICATE_REQUIRED = 'certificate_required'

/** Why a conversation ended. */
export type NamedFailure = UnplacedProblem | { readonly code: typeof CERTIFICATE_REQUIRED }

/** The longest detail of a problem. */
export const DETAIL_LENGTH = 200

/** Returns the problem for the end of a connection, which depends on what the check was waiting for. */
export function nameFailure(end: LinkEnd, context: FailureContext): UnplacedProblem {
  switch (context.stage) {
    case 'tcp':
      return nameTcpFailure(end)
    case 'tls':
      return nameTlsFailure(end, context)
    case 'starttls':
      if (end.kind === 'deadline') return { code: 'tls_timeout', detail: 'no answer to STARTTLS' }
      return end.kind === 'malformed'
        ? { code: 'starttls_refused', ...detailOf(end) }
        : { code: 'stream_closed', ...detailOf(end) }
    case 'header':
      return nameSilence(end, context)
    case 'secure-header':
      return nameSecureSilence(end, context)
    case 'features':
    case 'secure-features':
      return end.kind === 'deadline' || end.kind === 'malformed'
        ? { code: 'features_missing', ...detailOf(end) }
        : { code: 'stream_closed', ...detailOf(end) }
  }
}

const REFUSED: Readonly<Partial<Record<string, ProblemCode>>> = {
  ECONNREFUSED: 'connection_refused',
  ECONNRESET: 'connection_reset',
  ETIMEDOUT: 'connection_timeout',
}

function nameTcpFailure(end: LinkEnd): UnplacedProblem {
  if (end.kind === 'deadline') return { code: 'connection_timeout' }
  if (end.kind !== 'network') return { code: 'connection_reset' }
  // Other codes, for example EHOSTUNREACH or EPERM, mean that this machine did not send the packet, or that a router
  // refused it.
  const code = REFUSED[end.code]
  return code ? { code } : { code: 'network_unreachable', ...detailOf(end) }
}

function nameSilence(end: LinkEnd, { received }: FailureContext): UnplacedProblem {
  if (end.kind === 'foreign') return end.start
  if (end.kind === 'malformed') return { code: 'not_xmpp', ...detailOf(end) }
  if (end.kind === 'deadline') return received > 0 ? { code: 'not_xmpp' } : { code: 'no_response' }
  return received > 0
    ? { code: 'not_xmpp', detail: 'closed before the header of a stream' }
    : { code: 'connection_reset' }
}

function nameSecureSilence(end: LinkEnd, { isDirectTls }: FailureContext): UnplacedProblem {
  if (end.kind === 'foreign' || end.kind === 'malformed')
    return { code: 'tls_without_xmpp', ...detailOf(end) }
  const detail = end.kind === 'deadline' ? 'nothing arrived inside TLS' : 'closed after TLS'
  if (isDirectTls) return { code: 'tls_without_xmpp', detail }
  return { code: end.kind === 'deadline' ? 'no_response' : 'stream_closed', detail }
}

function nameTlsFailure(end: LinkEnd, { isDirectTls, received }: FailureContext): UnplacedProblem {
  const isSilent = isDirectTls && received === 0
  if (end.kind === 'deadline') return { code: isSilent ? 'no_response' : 'tls_timeout' }
  if (end.kind !== 'network') return { code: isSilent ? 'connection_reset' : 'tls_failed' }
  if (isSilent) return { code: 'connection_reset' }
  // The server knows no version that this check offers, and it offers TLS 1.0 and later.
  if (/UNSUPPORTED_PROTOCOL|ALERT_PROTOCOL_VERSION/.test(end.code))
    return { code: 'tls_too_old', detail: 'older than TLS 1.0' }
  // The server speaks TLS, but not for XMPP: it knows other protocols by ALPN (RFC 7301 §3.2).
  if (end.code.endsWith('ALERT_NO_APPLICATION_PROTOCOL'))
    return { code: 'tls_without_xmpp', detail: 'the server rejects the ALPN protocol of XMPP' }
  // Prosody sends this alert on ports with direct TLS (RFC 6066 §3).
  if (end.code.endsWith('_UNRECOGNIZED_NAME'))
    return { code: 'host_unknown', detail: 'the server has no certificate for the domain' }
  return { code: 'tls_failed', ...detailOf(end) }
}

/**
 * Whether the server ended TLS because this check has no certificate. TLS 1.3 has an alert for that (RFC 8446 §6.2).
 * Before, servers sent `handshake_failure` (RFC 5246 §7.4.6), after both sides had keys.
 */
export function isCertificateRequired(end: LinkEnd, context: FailureContext): boolean {
  const { hasKeys, isServerService } = context
  if (end.kind !== 'network' || !isServerService || !hasKeys) return false
  return /ALERT_(CERTIFICATE_REQUIRED|HANDSHAKE_FAILURE|BAD_CERTIFICATE|UNKNOWN_CA)$/.test(end.code)
}

/** Whether the reason of a failure shows that the other side speaks TLS. */
export function showsTls(end: LinkEnd, { hasKeys }: Pick<FailureContext, 'hasKeys'>): boolean {
  return hasKeys || (end.kind === 'network' && end.message.includes('SSL alert number'))
}

function detailOf(end: LinkEnd): { readonly detail?: string } {
  switch (end.kind) {
    case 'network':
      return { detail: toPlainLine(describeError(end), DETAIL_LENGTH) }
    case 'malformed':
      return { detail: toPlainLine(end.message, DETAIL_LENGTH) }
    case 'foreign':
      return { detail: end.start.detail ?? end.start.code.replace('_server', '') }
    default:
      return {}
  }
}

/**
 * Returns the reason in a message of OpenSSL, for example `alert internal error`, or else the code. The version before
 * `alert` says nothing about the connection: OpenSSL writes `sslv3 alert handshake failure` with TLS 1.3 too.
 */
function describeError({ code, message }: { readonly code: string; readonly message: string }) {
  const [, reason] = /:SSL routines:[^:]*:([^:]+):/.exec(message) ?? []
  return reason?.replace(/^\S+ (?=alert )/, '') ?? (code === '' ? message : code)
}
