/** Faults of the records of a domain, and of its DNS server. */

import type { ProblemCode } from '../../../src/outside/problem-severity.js'
import { type ExpectedProblem, type Fault } from './fault.js'
import { announce, PORTS, type Site, type SrvName } from './lab-site.js'
import type { AddressPair } from './namespaces.js'

const SERVICES = Object.keys(PORTS) as SrvName[]

/** Serves the domain at `xmpp.DOMAIN` for servers. The records for clients are those of the fault. */
function announceServerSide(site: Site): AddressPair {
  const pair = site.serve()
  announce(site, pair, ['xmpp-server'])
  return pair
}

const clientTarget = (code: ProblemCode, target: string): ExpectedProblem => ({
  code,
  service: 'xmpp-client',
  target,
  port: 5222,
})

const client = (code: ProblemCode): ExpectedProblem => ({ code, service: 'xmpp-client' })

const ALIAS_FAULTS: readonly Omit<Fault, 'nameServer'>[] = [
  {
    name: 'alias-loop',
    title: 'the target is an alias of an alias of itself',
    arrange(site) {
      announceServerSide(site)
      site.srv('xmpp-client', 'one')
      site.record('one', 'CNAME', `two.${site.domain}.`)
      site.record('two', 'CNAME', `one.${site.domain}.`)
    },
    problems: [clientTarget('srv_target_loop', 'one')],
  },
  {
    name: 'alias-dangling',
    title: 'the target is an alias of a name without addresses',
    arrange(site) {
      announceServerSide(site)
      site.srv('xmpp-client', 'one')
      site.record('one', 'CNAME', `gone.${site.domain}.`)
    },
    problems: [clientTarget('srv_target_loop', 'one')],
  },
]

const RECORD_FAULTS: readonly Fault[] = [
  {
    name: 'no-client-srv',
    title: 'the SRV records for clients are missing',
    arrange(site) {
      site.address('', announceServerSide(site))
    },
    problems: [client('srv_missing')],
  },
  {
    name: 'no-server-srv',
    title: 'the SRV records for servers are missing',
    arrange(site) {
      const pair = site.serve()
      announce(site, pair, ['xmpp-client', 'xmpps-client'])
      site.address('', pair)
    },
    problems: [{ code: 'srv_missing', service: 'xmpp-server' }],
  },
  {
    name: 'no-client-srv-no-address',
    title: 'the SRV records for clients are missing, and the domain has no address',
    arrange: announceServerSide,
    problems: [client('srv_missing'), clientTarget('srv_target_not_found', '')],
  },
  {
    name: 'no-records',
    title: 'the domain does not exist',
    arrange: () => undefined,
    problems: [{ code: 'domain_not_found' }],
  },
  {
    name: 'client-dot',
    title: 'the SRV record says that the domain has no service for clients',
    arrange(site) {
      announceServerSide(site)
      site.srv('xmpp-client', '.', 0)
    },
    problems: [client('service_not_offered')],
  },
  {
    name: 'server-dot',
    title: 'the SRV records say that the domain has no services for servers',
    arrange(site) {
      announce(site, site.serve(), ['xmpp-client'])
      site.srv('xmpp-server', '.', 0)
      site.srv('xmpps-server', '.', 0)
    },
    problems: [{ code: 'service_not_offered', service: 'xmpp-server' }],
  },
  {
    name: 'mixed-dot',
    title: 'an SRV record with a target and one without a target contradict each other',
    arrange(site) {
      announce(site, site.serve())
      site.srv('xmpp-client', '.', 0, 20)
    },
    problems: [client('srv_dot_mixed')],
  },
  {
    name: 'address-as-target',
    title: 'the target of the SRV record is an IP address',
    arrange(site) {
      site.srv('xmpp-client', `${announceServerSide(site).ipv4}.`)
    },
    problems: [client('srv_target_invalid')],
  },
  {
    name: 'target-gone',
    title: 'the target of the SRV record does not exist',
    arrange(site) {
      announceServerSide(site)
      site.srv('xmpp-client', 'gone')
    },
    problems: [clientTarget('srv_target_not_found', 'gone')],
  },
  {
    name: 'direct-target-gone',
    title: 'the target of the SRV record for direct TLS does not exist',
    arrange(site) {
      announce(site, site.serve())
      site.srv('xmpps-client', 'gone')
    },
    problems: [
      { code: 'srv_target_not_found', service: 'xmpps-client', target: 'gone', port: 5223 },
    ],
  },
  {
    name: 'target-without-address',
    title: 'the target of the SRV record exists, but has no address',
    arrange(site) {
      announce(site, site.serve(), ['xmpp-client'])
      site.srv('xmpp-server', 'text')
      site.record('text', 'TXT', '"no address"')
    },
    problems: [
      { code: 'srv_target_not_found', service: 'xmpp-server', target: 'text', port: 5269 },
    ],
  },
  {
    name: 'alias',
    title: 'the target of the SRV record is an alias',
    arrange(site) {
      announceServerSide(site)
      site.srv('xmpp-client', 'www')
      site.record('www', 'CNAME', `xmpp.${site.domain}.`)
    },
    problems: [clientTarget('srv_target_alias', 'www')],
  },
  {
    name: 'port-zero',
    title: 'the port in the SRV record is 0',
    arrange(site) {
      announceServerSide(site)
      site.srv('xmpp-client', 'xmpp', 0)
    },
    problems: [{ code: 'srv_port_invalid', service: 'xmpp-client', target: 'xmpp' }],
  },
  {
    name: 'many-srv',
    title: 'the service has more SRV records than are checked',
    arrange(site) {
      announceServerSide(site)
      const pairs = [site.serve({ kind: '0.12.3' }), site.serve({ kind: 'ejabberd' })]
      for (let index = 1; index <= 9; index += 1) {
        site.srv('xmpp-client', `node${index}`)
        site.address(`node${index}`, pairs[index % 2] ?? {})
      }
    },
    problems: [client('srv_too_many')],
  },
]

const PRIVATE_ADDRESSES: readonly (readonly [string, string, Partial<AddressPair>])[] = [
  ['private', 'of a private network', { ipv4: '10.1.2.3' }],
  ['loopback', 'of loopback', { ipv4: '127.0.0.1' }],
  ['metadata', 'of the metadata service of a cloud', { ipv4: '169.254.169.254' }],
  ['unique-local', 'of a private IPv6 network', { ipv6: 'fd00::1' }],
]

export const FAULTS_OF_DNS: readonly Fault[] = [
  ...RECORD_FAULTS,
  ...ALIAS_FAULTS,
  ...ALIAS_FAULTS.map((fault) => ({
    ...fault,
    name: `${fault.name}-authoritative`,
    title: `${fault.title}, with a DNS server that does not follow aliases`,
    nameServer: 'authoritative' as const,
  })),
  ...PRIVATE_ADDRESSES.map(([name, title, address]): Fault => ({
    name: `address-${name}`,
    title: `the target has an address ${title}`,
    arrange(site) {
      announceServerSide(site)
      site.srv('xmpp-client', 'inside')
      site.address('inside', address)
    },
    problems: [
      {
        ...clientTarget('private_address', 'inside'),
        family: address.ipv4 === undefined ? 'ipv6' : 'ipv4',
      },
    ],
  })),
  {
    name: 'servfail',
    title: 'the DNS server fails',
    arrange(site) {
      site.breakZone()
    },
    problems: SERVICES.map((service) => ({ code: 'dns_failed', service })),
  },
  {
    name: 'slow-dns',
    title: 'the DNS server is slow',
    arrange(site) {
      announce(site, site.serve())
    },
    nameServer: 'slow',
    problems: [
      ...SERVICES.map((service) => ({ code: 'dns_slow', service }) as const),
      ...(['xmpp-client', 'xmpp-server'] as const).map(
        (service) => ({ code: 'dns_slow', service, target: 'xmpp', port: PORTS[service] }) as const,
      ),
    ],
  },
  {
    name: 'silent-dns',
    title: 'the DNS server does not answer',
    arrange: () => undefined,
    nameServer: 'silent',
    problems: SERVICES.map((service) => ({ code: 'dns_timeout', service })),
  },
]
