/** Domains without a fault. */

import type { Fault } from './fault.js'
import { MONITORED } from './faults-stale.js'
import { HEALTHY_WEB } from './faults-web.js'
import { served } from './faults-protocol.js'
import { announce, PORTS, type ServerKind, type SrvName } from './lab-site.js'

const ALL = Object.keys(PORTS) as SrvName[]
const KINDS: readonly ServerKind[] = ['0.12.3', '13.0.1', 'ejabberd']

export const HEALTHY: readonly Fault[] = [
  ...HEALTHY_WEB,
  ...KINDS.map((kind) =>
    served(
      `healthy-${kind.replaceAll('.', '-')}`,
      kind === 'ejabberd' ? kind : `Prosody ${kind}`,
      [],
      { kind },
      ALL,
    ),
  ),
  served('healthy-without-direct', 'a domain without direct TLS', [], {}),
  served('healthy-wildcard', 'a certificate with a wildcard', [], (site) => ({
    certificate: site.certificate({ names: ['*.lab.example'] }),
  })),
  served('healthy-no-dialback', 'Prosody that accepts only servers with a certificate', [], {
    lua: ['modules_disabled = { "dialback" }'],
  }),
  served(
    'healthy-compared',
    'a domain that sends the certificate that Prosody has loaded',
    [],
    MONITORED,
    ALL,
  ),
  {
    name: 'healthy-ipv4',
    title: 'a domain without IPv6',
    arrange(site) {
      announce(site, { ipv4: site.serve().ipv4 }, ALL)
    },
    problems: [],
  },
  {
    name: 'healthy-ipv6',
    title: 'a domain without IPv4',
    arrange(site) {
      announce(site, { ipv6: site.serve().ipv6 }, ALL)
    },
    problems: [],
  },
  {
    name: 'healthy-two-targets',
    title: 'a domain with two targets, and one without the service for clients with direct TLS',
    arrange(site) {
      const pair = site.serve()
      announce(site, pair)
      site.srv('xmpps-client', '.', 0)
      site.srv('xmpp-client', 'second', PORTS['xmpp-client'], 20)
      site.address('second', pair)
    },
    problems: [],
  },
]
