import { capitalize, type ProblemTexts } from './problem-context.js'

/** The problems of TLS, of certificates, and with what the server offers after TLS. */
export const TLS_TEXTS = {
  starttls_missing: {
    cause: ({ place }) => `The server on ${place} does not offer STARTTLS.`,
    remedy: ({ side }) =>
      `Add "tls" to modules_enabled in prosody.cfg.lua and run "prosodyctl check certs".${side === 's2s' ? ' s2s_allow_encryption must not be false.' : ' If Prosody offers STARTTLS locally, a proxy or firewall removes it.'}`,
  },
  starttls_refused: {
    cause: ({ place }) => `The server on ${place} offers STARTTLS and then refuses it.`,
    remedy: ({ importCommand }) =>
      `Search the log of Prosody for "TLS is not available". Then install the certificate with ${importCommand}.`,
  },
  starttls_optional: {
    cause: ({ place }) =>
      `The server on ${place} offers a login before TLS, so passwords can cross the network unencrypted.`,
    remedy: ({ side }) => `Set ${side}_require_encryption = true in prosody.cfg.lua.`,
  },
  tls_failed: {
    cause: ({ place }) => `The TLS handshake on ${place} fails.`,
    remedy: ({ importCommand }) =>
      `Run "prosodyctl check certs" and look for TLS errors in the log of Prosody. If the certificate or its key is missing, run ${importCommand}.`,
  },
  tls_timeout: {
    cause: ({ place }) => `The TLS handshake on ${place} does not finish in time.`,
    remedy: () =>
      'Let the firewalls pass ICMP messages of the type "packet too big", and check the MTU. If small packets pass and large ones do not, TLS hangs.',
  },
  tls_too_old: {
    cause: ({ place }) => `The server on ${place} supports only TLS versions before 1.2.`,
    remedy: () =>
      'Set tls_profile = "intermediate" and remove protocol from the ssl options in prosody.cfg.lua. If a proxy ends TLS, update the proxy.',
  },
  certificate_expired: {
    cause: ({ place }) => `The certificate on ${place} has expired.`,
    remedy: ({ importCommand }) =>
      `Renew it with "certbot renew", then run ${importCommand}. Make this command the deploy hook of certbot, so that Prosody gets each new certificate.`,
  },
  certificate_not_yet_valid: {
    cause: ({ place }) => `The certificate on ${place} is not valid yet.`,
    remedy: ({ importCommand }) =>
      `Check the clock of this machine. If it is right, install a certificate that is valid now, with ${importCommand}.`,
  },
  certificate_expires_soon: {
    cause: ({ place }) => `The certificate on ${place} expires in less than 14 days.`,
    remedy: ({ importCommand }) =>
      `Find out why it was not renewed: run "certbot renew --dry-run". After the renewal, run ${importCommand}, or make it the deploy hook of certbot.`,
  },
  certificate_wrong_name: {
    cause: ({ place, domain }) => `The certificate on ${place} is not valid for ${domain}.`,
    remedy: ({ domain, importCommand }) =>
      `Get a certificate that names ${domain}, the domain in the addresses of users, not only the target of the SRV record. Then run ${importCommand}.`,
  },
  certificate_self_signed: {
    cause: ({ place }) =>
      `The certificate on ${place} is self-signed, so clients and servers do not trust it.`,
    remedy: ({ domain, importCommand }) =>
      `Get a certificate from a public certificate authority, for example with "certbot certonly -d ${domain}". Then run ${importCommand}.`,
  },
  certificate_chain_incomplete: {
    cause: ({ place }) =>
      `The server on ${place} sends its certificate without the intermediate certificate.`,
    remedy: ({ importCommand }) =>
      `Let the option certificate in prosody.cfg.lua name fullchain.pem instead of cert.pem, or run ${importCommand}. A proxy that ends TLS needs fullchain.pem too.`,
  },
  certificate_untrusted: {
    cause: ({ place }) =>
      `The certificate on ${place} comes from a certificate authority that is not trusted.`,
    remedy: () =>
      'Install a certificate of a public certificate authority. If the authority is your own, name its file in NODE_EXTRA_CA_CERTS for the exporter.',
  },
  certificate_stale: {
    cause: ({ place }) =>
      `${capitalize(place)} sends another certificate than the one that Prosody has loaded.`,
    remedy: () =>
      'If Prosody has this port, run "prosodyctl reload". If a proxy has it, give it the renewed certificate, unless it has a valid one of its own.',
  },
  certificates_differ: {
    cause: ({ users, domain }) =>
      `The endpoints of ${domain} for ${users} send different certificates.`,
    remedy: () =>
      'Install the newest certificate on every server and proxy that DNS names, and reload them. Change nothing if each has its own valid certificate.',
  },
  mechanisms_missing: {
    cause: ({ place }) =>
      `The server on ${place} offers no SASL mechanism after TLS, so no client can log in.`,
    remedy: () =>
      'Add "saslauth" to modules_enabled, and check authentication in prosody.cfg.lua. The log of Prosody says "No available SASL mechanisms" if that module fails.',
  },
  s2s_auth_missing: {
    cause: ({ place }) =>
      `The server on ${place} offers neither SASL EXTERNAL nor dialback, so other servers cannot authenticate.`,
    remedy: () =>
      'Add "dialback" and "saslauth" to modules_enabled in prosody.cfg.lua, and restart Prosody.',
  },
  ipv6_broken: {
    cause: ({ domain, users }) => `${domain} works for ${users} over IPv4, but not over IPv6.`,
    remedy: () => formatBrokenFamily('IPv6', 'AAAA', '::'),
  },
  ipv4_broken: {
    cause: ({ domain, users }) => `${domain} works for ${users} over IPv6, but not over IPv4.`,
    remedy: () => formatBrokenFamily('IPv4', 'A', '*'),
  },
} as const satisfies ProblemTexts

function formatBrokenFamily(family: string, type: string, any: string): string {
  return `Correct the firewall for ${family}, the ${type} records of the targets, or interfaces in prosody.cfg.lua, which must include "${any}". If the server has no ${family}, delete its ${type} records.`
}
