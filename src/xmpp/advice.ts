import type { StreamEnd } from './stream-end.js'

const COMPONENT_PORT =
  '--xmpp.service must name one of component_ports in prosody.cfg.lua (5347 unless set)'

/**
 * One line for the operator: what happened to the stream, and what to change in which file.
 *
 * Equal problems give equal lines, so that a line can be logged once.
 *
 * @see XEP-0114 §3, RFC 6120 §4.9.3 and Prosody's mod_component for the stream errors
 */
export function explain(
  end: StreamEnd,
  {
    service,
    domain,
    wasOnline,
    secret = '',
  }: {
    service: string
    domain: string
    wasOnline: boolean
    /** Never shown. */
    secret?: string
  },
): string {
  const section = `Component "${domain}" in prosody.cfg.lua`
  const said = end.text === '' ? end.condition : `${end.condition} (${end.text})`

  switch (end.kind) {
    case 'refused':
      switch (end.condition) {
        case 'not-authorized':
          return `Prosody refused our secret: component_secret of ${section} must be set, and be the same as in the file of --xmpp.secret-file (or PROSODY_EXPORTER_XMPP_SECRET)${noteOn(secret)}`
        case 'host-unknown':
          return `Prosody has no external component "${domain}": add ${section} (a name in lower case that no VirtualHost has, no module behind it), with a component_secret, and restart Prosody; or correct --xmpp.domain`
        case 'conflict':
          return wasOnline
            ? `another program logged in as component "${domain}". This is normal for a few seconds after a restart. If it repeats, a second exporter uses this component: give each its own.`
            : `Another program is logged in as component "${domain}": a second exporter, or the previous connection, which Prosody still keeps. Give each exporter its own component. With component_conflict_resolve = "kick_old" in ${section} the newest connection wins.`
        case 'invalid-from':
          return `Prosody refused our address: --xmpp.domain must be the very name of ${section}, in lower case`
        case 'invalid-namespace':
          return notComponentPort(service)
        case 'system-shutdown':
          return 'Prosody is shutting down'
        default:
          return `Prosody closed the stream: ${said}`
      }
    case 'network':
      switch (end.condition) {
        case 'ECONNREFUSED':
          return `nothing listens at ${service}: is Prosody running, has its prosody.cfg.lua a section Component "${domain}" (without one it opens no component port), and do component_ports and component_interfaces there fit --xmpp.service?`
        case 'ENOTFOUND':
        case 'EAI_AGAIN':
          return `the host name in --xmpp.service ${service} has no address (${end.condition}): correct it, or the name server`
        case 'ETIMEDOUT':
        case 'EHOSTUNREACH':
        case 'ENETUNREACH':
          return wasOnline
            ? `the network to ${service} is down (${end.condition})`
            : unreachable(service)
        default:
          return `the connection to ${service} broke: ${end.condition}`
      }
    case 'timeout':
      switch (end.condition) {
        case 'connect':
          return unreachable(service)
        case 'header':
          return `${service} takes connections but says nothing: Prosody hangs, or this is no component port; ${COMPONENT_PORT}`
        case 'handshake':
          return `Prosody at ${service} did not answer our handshake: it hangs, see its log`
        case 'unread':
          return `Prosody at ${service} talks, and takes nothing of what we send`
        case 'lost':
          return `bytes from ${service} were lost or changed on their way`
        default:
          return `the stream to ${service} was dead: ${end.text || 'no answer came'}`
      }
    case 'protocol':
      return wasOnline
        ? `Prosody sent what we cannot read: ${end.text}`
        : `${notComponentPort(service)} (${end.text})`
    case 'closed':
      return wasOnline
        ? 'Prosody closed the stream'
        : `${service} closed the connection before we were accepted: is Prosody starting or stopping?`
    case 'stopped':
      return 'the exporter is stopping'
  }
}

function notComponentPort(service: string): string {
  return `there is no component port at ${service}; ${COMPONENT_PORT}`
}

function unreachable(service: string): string {
  return `no connection to ${service}: the host is down or a firewall is between; check --xmpp.service, and component_interfaces in prosody.cfg.lua`
}

/** What is unusual about a rejected secret: usually it came there by mistake, and nobody can see it. */
function noteOn(secret: string): string {
  const note = (what: string) => `. Note: the exporter's secret ${what}`
  if (secret.startsWith('\uFEFF')) return note('starts with a byte order mark (U+FEFF)')
  if (secret.trim() !== secret) return note('starts or ends with a blank')
  if (/[^ -~]/.test(secret)) return note('contains characters other than printable ASCII')
  return ''
}
