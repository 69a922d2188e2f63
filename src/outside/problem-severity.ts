/** `error`: clients or servers cannot use the service. `warning`: some cannot, or all will fail soon. */
export type ProblemSeverity = 'error' | 'warning'

/**
 * Everything that a check can find wrong, with its severity. The name is the value of the label `problem` of
 * `xmpp_endpoint_problem`. problem-texts.ts has the sentence and the remedy for each name.
 */
export const PROBLEMS = {
  // DNS
  dns_failed: 'error', // an error from the DNS server, for example SERVFAIL
  dns_timeout: 'error', // no DNS server answered
  dns_slow: 'warning', // an answer took longer than 2 s
  domain_not_found: 'error', // the domain has no SRV records for the checked services, and no addresses
  srv_missing: 'warning', // no SRV record for clients (or servers); the addresses of the domain are used instead
  service_not_offered: 'warning', // all SRV records of clients (or servers) have the target "."
  srv_dot_mixed: 'error', // a target "." beside other targets
  srv_target_invalid: 'error', // the target is an IP address or no host name
  srv_target_not_found: 'error', // the target has no address
  srv_target_alias: 'warning', // the target is an alias (CNAME), which RFC 2782 forbids
  srv_target_loop: 'error', // the aliases of the target end nowhere
  srv_port_invalid: 'error', // port 0
  srv_too_many: 'warning', // more records than are checked
  private_address: 'error', // an address of a private network, which is not dialled
  // TCP
  connection_refused: 'error',
  connection_timeout: 'error',
  network_unreachable: 'error',
  connection_reset: 'error', // reset or closed before any byte arrived
  // What answers
  no_response: 'error', // TCP works, but nothing arrives
  http_server: 'error',
  ssh_server: 'error',
  not_xmpp: 'error', // another protocol
  tls_unexpected: 'error', // the server expects TLS where STARTTLS is announced
  tls_missing: 'error', // XMPP without TLS where direct TLS is announced
  tls_without_xmpp: 'error', // TLS works, but no XMPP server answers inside it
  wrong_service: 'error', // the port of clients answers as one of servers, or the reverse
  host_unknown: 'error', // the stream error host-unknown: this server does not serve the domain
  stream_error: 'error',
  stream_closed: 'error', // closed in the middle of the stream
  features_missing: 'error', // the stream header arrived, but no features
  // TLS
  starttls_missing: 'error',
  starttls_refused: 'error',
  starttls_optional: 'warning', // offers SASL mechanisms before TLS
  tls_failed: 'error',
  tls_timeout: 'error',
  tls_too_old: 'error', // only versions before TLS 1.2
  // Certificate
  certificate_expired: 'error',
  certificate_not_yet_valid: 'error',
  certificate_expires_soon: 'warning', // in less than 14 days
  certificate_wrong_name: 'error',
  certificate_self_signed: 'error',
  certificate_chain_incomplete: 'error', // an intermediate certificate is missing
  certificate_untrusted: 'error', // another reason
  certificate_stale: 'warning', // it is not the one that Prosody has loaded; a proxy can have its own
  certificates_differ: 'warning', // endpoints of a service send different certificates
  // Features
  mechanisms_missing: 'error', // no SASL mechanism after TLS, for clients
  s2s_auth_missing: 'error', // neither SASL EXTERNAL nor dialback, for servers
  // Several endpoints together
  ipv6_broken: 'error', // IPv4 works, and IPv6 does not
  ipv4_broken: 'error', // IPv6 works, and IPv4 does not
  check_incomplete: 'warning', // the check did not end in ten minutes, so that endpoints are missing
  // Web
  host_meta_invalid: 'error', // it exists, but is no host-meta
  web_failed: 'error', // no HTTP response
  web_status: 'error', // an HTTP status that the service must not have
  web_not_xmpp: 'error', // BOSH or WebSocket does not answer as XMPP
  web_insecure: 'error', // announced with http: or ws:
} as const satisfies Readonly<Record<string, ProblemSeverity>>

export type ProblemCode = keyof typeof PROBLEMS

export const isError = (code: ProblemCode): boolean => PROBLEMS[code] === 'error'
