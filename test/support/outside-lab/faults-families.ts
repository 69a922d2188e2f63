/** Faults over IPv6 alone, and over IPv4 alone. */

import type { ProblemCode } from '../../../src/outside/problem-severity.js'
import { announceOther, onBoth, type Family, type Fault } from './fault.js'
import { CERTIFICATE_FAULTS } from './faults-certificate.js'
import { PORT_FAULTS } from './faults-ports.js'
import { announce, PORTS, type ServeOptions, type Site } from './lab-site.js'
import type { AddressPair } from './namespaces.js'

type FamilyFault = {
  readonly name: string
  readonly title: string
  /** Returns the addresses at which the service has the fault. */
  readonly place: (site: Site) => Partial<AddressPair>
  readonly code: ProblemCode
}

const PORT = PORTS['xmpp-client']

const FAULTS: readonly FamilyFault[] = [
  ...PORT_FAULTS.map(({ name, title, place, code }) => ({
    name,
    title: `the port of clients ${title}`,
    place(site: Site) {
      const pair = site.newAddress()
      place(site, pair, PORT)
      return pair
    },
    code,
  })),
  ...CERTIFICATE_FAULTS.filter(({ code }) => code !== 'certificate_expires_soon').map(
    ({ name, title, issue, code }) => ({
      name: `certificate-${name}`,
      title: `the certificate ${title}`,
      place: (site: Site) => site.serve({ certificate: issue(site) }),
      code,
    }),
  ),
  ...[
    [
      'silent',
      'the server accepts connections, and stays silent',
      'no_response',
      'silent',
    ] as const,
    ['reset', 'the server resets connections', 'connection_reset', 'reset'] as const,
  ].map(([name, title, code, kind]) => ({
    name,
    title,
    place(site: Site) {
      const pair = site.newAddress()
      site.listen(pair, PORT, { kind })
      return pair
    },
    code,
  })),
  {
    name: 'no-route',
    title: 'the address has no route',
    place: () => ({ ipv4: '203.0.118.1', ipv6: '2a00:c::1' }),
    code: 'network_unreachable',
  },
  {
    name: 'other-server',
    title: 'the server does not serve the domain',
    place: (site) => site.serve({ domain: `renamed.${site.domain}` }),
    code: 'host_unknown',
  },
  {
    name: 'no-mechanisms',
    title: 'the server offers no SASL mechanisms',
    place: (site) => site.serve({ lua: ['modules_disabled = { "saslauth" }'] }),
    code: 'mechanisms_missing',
  },
  {
    name: 'no-starttls',
    title: 'the server offers no STARTTLS',
    place: (site) => site.serve({ lua: ['modules_disabled = { "tls" }'] }),
    code: 'starttls_missing',
  },
]

/** Only these problems can be those of the way that packets take. The others are those of the server. */
const PATH_PROBLEMS: readonly ProblemCode[] = [
  ...(['connection_refused', 'connection_timeout', 'connection_reset'] as const),
  ...(['network_unreachable', 'no_response', 'http_server', 'ssh_server'] as const),
]

const NAMES = { ipv4: 'IPv4', ipv6: 'IPv6' } as const

/** @param options How a server without the fault serves the domain. */
function toFault(
  { name, title, place, code }: FamilyFault,
  family: Family,
  options: ServeOptions,
): Fault {
  const other = family === 'ipv4' ? 'ipv6' : 'ipv4'
  return {
    name: `${family}-${name}`,
    title: `over ${NAMES[family]} alone, ${title}`,
    arrange(site) {
      const healthy = site.serve(options)
      const faulty = place(site)
      announceOther(site, 'xmpp-client', healthy)
      announce(site, { [other]: healthy[other], [family]: faulty[family] }, ['xmpp-client'])
    },
    problems: [
      ...onBoth(code, 'xmpp-client', PORT, [family]),
      ...(PATH_PROBLEMS.includes(code)
        ? [{ code: `${family}_broken`, service: 'xmpp-client', family } as const]
        : []),
    ],
  }
}

/** The healthy server is another Prosody, because one process has each domain only once. */
export const FAULTS_OF_FAMILIES: readonly Fault[] = [
  ...FAULTS.map((fault) => toFault(fault, 'ipv6', { kind: '0.12.3' })),
  ...FAULTS.filter(({ name }) => ['closed', 'filtered', 'certificate-expired'].includes(name)).map(
    (fault) => toFault(fault, 'ipv4', { kind: '0.12.3' }),
  ),
]
