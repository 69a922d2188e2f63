/** Faults of a port: nothing listens, a firewall drops packets, or another program answers. */

import type { ProblemCode } from '../../../src/outside/problem-severity.js'
import { announceFaulty, onBoth, type Fault } from './fault.js'
import { PORTS, type Site, type SrvName } from './lab-site.js'
import type { Listener } from './listeners.js'
import type { AddressPair } from './namespaces.js'

/** Something at a port that no XMPP client or server can use. */
export type PortFault = {
  readonly name: string
  /** The end of the sentence "The port … ". */
  readonly title: string
  readonly place: (site: Site, pair: Partial<AddressPair>, port: number) => void
  /** The name of the problem on a port with STARTTLS, and on one with TLS from the start. */
  readonly code: ProblemCode
  readonly directCode?: ProblemCode
}

const SSH: Listener = {
  kind: 'greeting',
  text: 'SSH-2.0-OpenSSH_9.2p1 Debian-2+deb12u3\r\n',
  reply: 'Invalid SSH identification string.\r\n',
}
const SMTP: Listener = {
  kind: 'greeting',
  text: '220 mail.lab.example ESMTP Postfix (Debian/GNU)\r\n',
  reply: '502 5.5.2 Error: command not recognized\r\n',
}

const listen =
  (create: (site: Site) => Listener): PortFault['place'] =>
  (site, pair, port) => {
    site.listen(pair, port, create(site))
  }

export const PORT_FAULTS: readonly PortFault[] = [
  {
    name: 'closed',
    title: 'is closed',
    place: () => undefined,
    code: 'connection_refused',
  },
  {
    name: 'filtered',
    title: 'is filtered by a firewall',
    place: (site, pair, port) => {
      site.drop(pair, port)
    },
    code: 'connection_timeout',
  },
  {
    name: 'http',
    title: 'is that of an HTTP server',
    place: listen(() => ({ kind: 'http' })),
    code: 'http_server',
  },
  {
    name: 'ssh',
    title: 'is that of an SSH server',
    place: listen(() => SSH),
    code: 'ssh_server',
  },
  {
    name: 'https',
    title: 'is that of an HTTPS server',
    place: listen((site) => ({ kind: 'https', certificate: site.certificate() })),
    code: 'tls_unexpected',
    directCode: 'tls_without_xmpp',
  },
]

const RARE_PORT_FAULTS: readonly PortFault[] = [
  {
    name: 'smtp',
    title: 'is that of a mail server',
    place: listen(() => SMTP),
    code: 'not_xmpp',
  },
  {
    name: 'silent',
    title: 'accepts connections, and stays silent',
    place: listen(() => ({ kind: 'silent' })),
    code: 'no_response',
  },
  {
    name: 'closing',
    title: 'accepts connections, and closes them',
    place: listen(() => ({ kind: 'close' })),
    code: 'connection_reset',
  },
  {
    name: 'reset',
    title: 'accepts connections, and resets them',
    place: listen(() => ({ kind: 'reset' })),
    code: 'connection_reset',
  },
]

/** The services, and how sentences name their ports. */
const SERVICES: readonly (readonly [SrvName, string])[] = [
  ['xmpp-client', 'port of clients'],
  ['xmpps-client', 'port of clients with direct TLS'],
  ['xmpp-server', 'port of servers'],
  ['xmpps-server', 'port of servers with direct TLS'],
]

const toFault = (fault: PortFault, [service, port]: (typeof SERVICES)[number]): Fault => ({
  name: `${service}-${fault.name}`,
  title: `the ${port} ${fault.title}`,
  arrange(site) {
    const pair = site.newAddress()
    fault.place(site, pair, PORTS[service])
    announceFaulty(site, service, pair)
  },
  problems: onBoth(
    (service.startsWith('xmpps-') ? fault.directCode : undefined) ?? fault.code,
    service,
  ),
})

export const FAULTS_OF_PORTS: readonly Fault[] = [
  ...SERVICES.flatMap((service) => PORT_FAULTS.map((fault) => toFault(fault, service))),
  ...RARE_PORT_FAULTS.map((fault) => toFault(fault, SERVICES[0]!)),
  toFault(RARE_PORT_FAULTS[1]!, SERVICES[1]!),
  {
    name: 'no-route',
    title: 'the address of the server is in a network without a route',
    arrange(site) {
      announceFaulty(site, 'xmpp-client', { ipv4: '203.0.118.1', ipv6: '2a00:c::1' })
    },
    problems: onBoth('network_unreachable', 'xmpp-client'),
  },
]
