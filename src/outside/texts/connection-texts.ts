import { capitalize, type ProblemContext, type ProblemTexts } from './problem-context.js'

/** What lets a program listen on the port, for the address family. */
function formatListening({ web, port, portsOption, family }: ProblemContext): string {
  if (web) return `the web server listens on port ${port}`
  const also = family === undefined ? '' : `, and that use_${family.toLowerCase()} is not false`
  return `Prosody runs, that ${portsOption} in prosody.cfg.lua has port ${port}${also}`
}

/** The problems of TCP, and with what answers on the port. */
export const CONNECTION_TEXTS = {
  check_incomplete: {
    cause: ({ domain }) =>
      `The check of ${domain} did not end within ten minutes, so some endpoints were not checked.`,
    remedy: () =>
      'List the addresses of your servers in outside.own_addresses: to other addresses, the exporter makes at most two connections per minute.',
  },
  connection_refused: {
    cause: ({ place }) => `${capitalize(place)} refuses connections.`,
    remedy: (context) => {
      const { web, side } = context
      const more = web
        ? ' If the service no longer exists, remove it from host-meta.'
        : ` If interfaces or ${side}_interfaces is set, it must include the address in DNS.`
      return `Check that ${formatListening(context)}.${more}`
    },
  },
  connection_timeout: {
    cause: ({ place }) =>
      `${capitalize(place)} does not answer, as if a firewall drops the packets.`,
    remedy: ({ port, family, host }) =>
      `Open TCP port ${port}${family === undefined ? '' : ` for ${family}`} in the firewalls of the server and of its provider. Also check the ${family === 'IPv6' ? 'AAAA' : family === 'IPv4' ? 'A' : 'address'} record of ${host}.`,
  },
  network_unreachable: {
    cause: ({ place }) => `The network has no route to ${place}.`,
    remedy: ({ family, host }) =>
      `Check the ${family === 'IPv6' ? 'AAAA' : 'A'} record of ${host} and the routes of the server. If the machine of this check has no ${family ?? 'connection'}, check from another machine.`,
  },
  connection_reset: {
    cause: ({ place }) => `${capitalize(place)} closes each connection before it sends anything.`,
    remedy: () =>
      'Check that the proxy or port forwarding on this port reaches Prosody. Also check that no firewall, fail2ban or connection limit blocks the machine of this check.',
  },
  no_response: {
    cause: ({ place }) => `${capitalize(place)} accepts the connection but sends nothing.`,
    remedy: ({ port }) =>
      `Find the program with "ss -tlnp sport = :${port}" and restart it if it hangs. If it is a proxy, check where it connects to.`,
  },
  http_server: {
    cause: ({ place }) => `A web server answers on ${place}, not an XMPP server.`,
    remedy: ({ usualRecord }) => formatOtherProgram(usualRecord),
  },
  ssh_server: {
    cause: ({ place }) => `An SSH server answers on ${place}, not an XMPP server.`,
    remedy: ({ usualRecord }) => formatOtherProgram(usualRecord),
  },
  not_xmpp: {
    cause: ({ place }) => `A program that does not speak XMPP answers on ${place}.`,
    remedy: ({ usualRecord }) => formatOtherProgram(usualRecord),
  },
  tls_unexpected: {
    cause: ({ place }) => `${capitalize(place)} starts with TLS, but DNS announces STARTTLS there.`,
    remedy: ({ record, service, portsOption, side, port }) =>
      `Announce the port as direct TLS in DNS: ${record.replace(service, service.replace('xmpp-', 'xmpps-'))} Or move port ${port} from ${side}_direct_tls_ports to ${portsOption} in prosody.cfg.lua.`,
  },
  tls_missing: {
    cause: ({ place }) =>
      `${capitalize(place)} speaks XMPP without TLS, but DNS announces direct TLS there.`,
    remedy: ({ record, service, portsOption, side, port }) =>
      `Move port ${port} from ${side}_ports to ${portsOption} in prosody.cfg.lua. Or announce it as STARTTLS in DNS: ${record.replace(service, service.replace('xmpps-', 'xmpp-'))}`,
  },
  tls_without_xmpp: {
    cause: ({ place }) => `TLS works on ${place}, but no XMPP server answers inside it.`,
    remedy: ({ service, portsOption }) =>
      `If a proxy such as nginx or HAProxy has this port, let it pass the ALPN protocol ${service.includes('client') ? 'xmpp-client' : 'xmpp-server'} to Prosody. Otherwise, write a port of ${portsOption} into the SRV record.`,
  },
  wrong_service: {
    cause: ({ place, users }) =>
      `DNS announces ${place} for ${users}, but ${users === 'clients' ? 'the port for servers' : 'the port for clients'} answers there.`,
    remedy: ({ usualRecord }) => `Correct the port in DNS: ${usualRecord}`,
  },
  host_unknown: {
    cause: ({ place, domain }) =>
      `The server on ${place} answers that it does not serve ${domain}.`,
    remedy: ({ domain, side }) =>
      side === 'c2s'
        ? `Add VirtualHost "${domain}" to prosody.cfg.lua and restart Prosody, or correct the target of the SRV record. If only other servers use the domain, as one of chat rooms, use --sides=server or outside.server_domains.`
        : `Add VirtualHost "${domain}" (or a Component) to prosody.cfg.lua and restart Prosody. If this is another server, correct the target of the SRV record.`,
  },
  stream_error: {
    cause: ({ place }) => `The server on ${place} answers with a stream error.`,
    remedy: () =>
      'Read the log of Prosody at the time of the check. Typical reasons are limits, a firewall module, and a restart.',
  },
  stream_closed: {
    cause: ({ place }) => `The server on ${place} closes the stream in the middle of the check.`,
    remedy: () =>
      'Read the log of Prosody at the time of the check. If it has no entry, check the proxy or load balancer in front of Prosody.',
  },
  features_missing: {
    cause: ({ place }) => `The server on ${place} sends the stream header but no stream features.`,
    remedy: () =>
      'Search the error log of Prosody for a module that fails, and check that a proxy does not hold data back.',
  },
} as const satisfies ProblemTexts

function formatOtherProgram(record: string): string {
  return `Write the port of the XMPP server into DNS: ${record} Or let the program on this port pass XMPP to Prosody.`
}
