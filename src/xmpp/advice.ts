import { DESCRIPTIONS, isPortProtocol } from './port-protocol.js'
import { isDefinedCondition, type StreamEnd } from './stream-end.js'

const COMPONENT_PORTS = 'component_ports in prosody.cfg.lua (default 5347)'

export type AdviceContext = {
  readonly service: string
  readonly domain: string
  /** Whether the login had succeeded before the stream ended. */
  readonly wasOnline: boolean
  /** Whether any login of this connection has succeeded. Default: the value of `wasOnline`. */
  readonly hasConnected?: boolean
  /** The secret of the component. The advice can describe the secret, and never quotes it. */
  readonly secret?: string
}

/**
 * Returns one line for the operator. Its first sentence says what happened to the stream, in about 80 characters or
 * less, so that it can be a headline. The rest says why, if it is known, and what to change.
 *
 * Equal ends of streams give equal lines in the same context, so that the caller can recognize a problem that it has
 * already logged.
 */
export function explain(end: StreamEnd, context: AdviceContext): string {
  const { service, wasOnline } = context
  switch (end.kind) {
    case 'refused':
      return explainStreamError(end, context)
    case 'network':
      return explainNetworkError(end, context)
    case 'timeout':
      return explainTimeout(end, service)
    case 'protocol':
      return wasOnline
        ? `Prosody sent data that the exporter cannot read. The exporter reconnects (${end.text}).`
        : explainOtherProtocol(end, service)
    case 'closed':
      return wasOnline
        ? 'Prosody closed the connection; reconnecting.'
        : `${service} closed the connection before the login. Prosody may be starting or stopping, or this is not a component port. --xmpp.service must name a port of ${COMPONENT_PORTS}, without TLS.`
    case 'stopped':
      return 'The exporter is stopping.'
  }
}

/** @see XEP-0114 §3, RFC 6120 §4.9.3, and mod_component of Prosody, which define the conditions of stream errors */
function explainStreamError(
  { condition, text }: StreamEnd,
  { service, domain, wasOnline, secret = '' }: AdviceContext,
): string {
  const section = `the Component "${domain}" section of prosody.cfg.lua`
  switch (condition) {
    case 'not-authorized':
      return `Prosody rejected the secret. Set component_secret in ${section} to the contents of --xmpp.secret-file (or PROSODY_EXPORTER_XMPP_SECRET), and restart Prosody.${describeUnusualSecret(secret)}`
    case 'host-unknown':
      return `Prosody has no external component "${domain}". Set --xmpp.domain to the name of an external component in prosody.cfg.lua. Or add a Component "${domain}" section with a component_secret, if no VirtualHost has this name, and restart Prosody.`
    case 'conflict':
      return wasOnline
        ? `Another program logged in as component "${domain}". This is normal for a few seconds after a restart. If it repeats, two exporters share one component: give each its own.`
        : `Another program is logged in as component "${domain}". It is a second exporter, or the previous connection of this one. Give each exporter its own component. With component_conflict_resolve = "kick_old" in ${section}, the newest connection wins.`
    case 'invalid-from':
      return `Prosody rejected the component name. Set --xmpp.domain to the exact name in ${section}, in lower case.`
    case 'invalid-namespace':
      return explainOtherProtocol({ condition: '', text: '' }, service)
    case 'system-shutdown':
      return 'Prosody is shutting down; reconnecting.'
    default:
      return `Prosody closed the stream (${isDefinedCondition(condition) ? condition : 'unknown condition'}). See the log of Prosody.${text === '' ? '' : ` Its reason: ${text}`}`
  }
}

function explainNetworkError(
  { condition }: StreamEnd,
  { service, domain, wasOnline, hasConnected = wasOnline }: AdviceContext,
): string {
  switch (condition) {
    case 'ECONNREFUSED':
      return hasConnected
        ? `Prosody stopped (connection to ${service} refused); retrying. See: systemctl status prosody`
        : `Cannot connect to Prosody at ${service} (connection refused). Check that Prosody runs, and that it was restarted after Component "${domain}" was added to prosody.cfg.lua. Check that component_ports and component_interfaces match --xmpp.service.`
    case 'ENOTFOUND':
    case 'EAI_AGAIN':
      return `The host name of ${service} has no address (${condition}). Correct the host name in --xmpp.service, its DNS entry, or the name server of this machine.`
    case 'ETIMEDOUT':
    case 'EHOSTUNREACH':
    case 'ENETUNREACH':
      return wasOnline
        ? `The network to ${service} is down (${condition}); reconnecting.`
        : unreachable(service)
    default:
      return `The connection to ${service} failed (${condition}); reconnecting.`
  }
}

function explainTimeout({ condition, text }: StreamEnd, service: string): string {
  switch (condition) {
    case 'connect':
      return unreachable(service)
    case 'header':
      return `${service} accepts connections but sends nothing. Prosody hangs, or this is not a component port. Set --xmpp.service to a port listed in ${COMPONENT_PORTS}.`
    case 'handshake':
      return `Prosody at ${service} did not answer the login. See the log of Prosody, and check the CPU and storage of its machine.`
    case 'unread':
      return `Prosody at ${service} sends data but does not read. The exporter reconnects.`
    case 'lost':
      return `Data from ${service} was lost or corrupted; reconnecting.`
    default:
      return `Prosody at ${service} did not respond in time. The exporter reconnects (${text || 'no reply'}).`
  }
}

function explainOtherProtocol(
  { condition, text }: Pick<StreamEnd, 'condition' | 'text'>,
  service: string,
): string {
  const description = isPortProtocol(condition) ? `: ${DESCRIPTIONS[condition]}` : ''
  const detail = text === '' ? '' : ` (${text})`
  return `${service} is not a Prosody component port${description}. Set --xmpp.service to a port listed in ${COMPONENT_PORTS}${detail}.`
}

function unreachable(service: string): string {
  return `Cannot reach ${service}. The host is down, or a firewall drops the connection. Check --xmpp.service, and component_interfaces in prosody.cfg.lua.`
}

/**
 * Returns a note if a rejected secret starts or ends with white space, or contains characters other than printable
 * ASCII. Usually such characters are a mistake.
 */
function describeUnusualSecret(secret: string): string {
  if (secret.startsWith('\uFEFF')) {
    return ' Note: the secret of the exporter starts with a byte order mark (U+FEFF).'
  }
  if (secret.trim() !== secret) {
    return ' Note: the secret of the exporter starts or ends with a blank.'
  }
  if (/[^ -~]/.test(secret)) {
    return ' Note: the secret of the exporter contains characters other than printable ASCII.'
  }
  return ''
}

/**
 * Returns one line for the operator of an exporter that another program repeatedly evicts from its component.
 *
 * @param times How often, in the last five minutes.
 * @param isShared Whether the other program is known to run on this machine.
 */
export function explainEvictions(domain: string, times: number, isShared = false): string {
  const where = isShared
    ? 'on this machine'
    : 'perhaps on another machine, or doctor that ran as another user'
  return `Another program logged in as component "${domain}" ${times} times in five minutes. It is a second exporter, ${where}. Stop one of the two exporters, or configure a component for each of them.`
}
