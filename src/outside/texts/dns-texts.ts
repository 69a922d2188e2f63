import type { ProblemContext, ProblemTexts } from './problem-context.js'

/** What to do with a domain that has no clients, or no connections with other servers. */
const formatMove = ({ side }: ProblemContext): string =>
  side === 'c2s'
    ? 'move the domain to outside.server_domains, or use --sides=server'
    : 'move the domain to outside.client_domains, or use --sides=client'

/** The problems of DNS. */
export const DNS_TEXTS = {
  dns_failed: {
    cause: ({ lookup }) => `The name server returns an error for ${lookup}.`,
    remedy: ({ host }) =>
      `Check the zone of ${host} at the DNS provider, above all its DNSSEC signatures. Then compare the answers of its name servers with dig.`,
  },
  dns_timeout: {
    cause: ({ lookup }) => `No name server answers the query for ${lookup}.`,
    remedy: ({ host }) =>
      `Check that the name servers of ${host} answer on port 53, over UDP and TCP. If they do, use another resolver: --name-server or outside.name_servers.`,
  },
  dns_slow: {
    cause: ({ lookup }) => `The answer for ${lookup} takes longer than 2 seconds.`,
    remedy: () =>
      'Remove name servers that are slow or no longer exist from the NS records of the zone.',
  },
  domain_not_found: {
    cause: ({ domain }) => `${domain} has no SRV records for XMPP and no addresses.`,
    remedy: ({ usualRecord }) =>
      `Check the name of the domain. If it is right, add records to DNS, for example: ${usualRecord}`,
  },
  srv_missing: {
    cause: ({ domain, users, port }) =>
      `${domain} has no SRV record for ${users}, so they try port ${port} of ${domain} itself.`,
    remedy: (context) =>
      `If no ${context.users} should connect, ${formatMove(context)}. Otherwise, add this record to DNS, with the name of the XMPP server at its end: ${context.usualRecord}`,
  },
  service_not_offered: {
    cause: ({ domain, users }) =>
      `The SRV records of ${domain} for ${users} have the target ".", which means that the service does not exist.`,
    remedy: (context) =>
      `If the service exists, replace the record in DNS: ${context.usualRecord} Otherwise, ${formatMove(context)}.`,
  },
  srv_dot_mixed: {
    cause: ({ recordName }) =>
      `The SRV records ${recordName} have the target "." beside other targets.`,
    remedy: ({ recordName }) =>
      `Delete the record ${recordName} with the target "." from DNS. It is valid only as the single record (RFC 2782).`,
  },
  srv_target_invalid: {
    cause: ({ recordName }) => `An SRV record ${recordName} has a target that is not a host name.`,
    remedy: ({ record }) =>
      `Give the record a host name with A or AAAA records as its target, for example: ${record}`,
  },
  srv_target_not_found: {
    cause: ({ host, recordName }) => `${host}, the target of ${recordName}, has no address in DNS.`,
    remedy: ({ host }) =>
      `Add an address for ${host} to DNS, as an A or AAAA record, or correct the target of the SRV record.`,
  },
  srv_target_alias: {
    cause: ({ host, recordName }) =>
      `${host}, the target of ${recordName}, is an alias (CNAME), which RFC 2782 forbids.`,
    remedy: ({ host }) =>
      `Write the name at the end of the alias into the SRV record, or give ${host} A and AAAA records instead of the CNAME.`,
  },
  srv_target_loop: {
    cause: ({ host, recordName }) =>
      `The aliases (CNAME) of ${host}, the target of ${recordName}, lead in a circle.`,
    remedy: ({ host }) => `Replace the CNAME record of ${host} in DNS with A and AAAA records.`,
  },
  srv_port_invalid: {
    cause: ({ recordName }) => `An SRV record ${recordName} has the port 0.`,
    remedy: ({ usualRecord }) => `Write the port of the service into the record: ${usualRecord}`,
  },
  srv_too_many: {
    cause: ({ recordName }) =>
      `DNS has more SRV records ${recordName}, or more addresses, than the check connects to.`,
    remedy: () =>
      'Delete the records of servers that no longer exist. The check uses the first 8 records, and 4 addresses of each target and address family.',
  },
  private_address: {
    hidesDetail: true,
    cause: ({ host }) =>
      `${host} has an address of a private network in DNS, which other networks cannot reach.`,
    remedy: ({ host }) =>
      `Write the public address of ${host} into DNS. To check a server in a private network, use --allow-private or outside.allow_private.`,
  },
} as const satisfies ProblemTexts
