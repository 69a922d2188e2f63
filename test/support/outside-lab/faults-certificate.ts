/** What is wrong with the certificate that a server sends. */

import type { ProblemCode } from '../../../src/outside/problem-severity.js'
import { issueSelfSigned } from '../certificate-authority.js'
import { DAY_MS, type KeyPair } from '../certificate.js'
import { onBoth, onEach, type Fault } from './fault.js'
import { served } from './faults-protocol.js'
import { announce, PORTS, withChain, type ServerKind, type Site, type SrvName } from './lab-site.js'

const inDays = (days: number): Date => new Date(Date.now() + days * DAY_MS)

export type CertificateFault = {
  readonly name: string
  /** The end of the sentence "The certificate … ". */
  readonly title: string
  readonly issue: (site: Site) => KeyPair
  readonly code: ProblemCode
}

export const CERTIFICATE_FAULTS: readonly CertificateFault[] = [
  {
    name: 'expired',
    title: 'has expired',
    issue: (site) => site.certificate({ from: inDays(-20), to: inDays(-1) }),
    code: 'certificate_expired',
  },
  {
    name: 'future',
    title: 'is not yet valid',
    issue: (site) => site.certificate({ from: inDays(2), to: inDays(60) }),
    code: 'certificate_not_yet_valid',
  },
  {
    name: 'expiring',
    title: 'expires soon',
    issue: (site) => site.certificate({ from: inDays(-60), to: inDays(3) }),
    code: 'certificate_expires_soon',
  },
  {
    name: 'wrong-name',
    title: 'is for another name',
    issue: (site) => site.certificate({ names: ['mail.lab.example', `www.${site.domain}`] }),
    code: 'certificate_wrong_name',
  },
  {
    name: 'self-signed',
    title: 'is signed by itself',
    issue: (site) => issueSelfSigned({ names: [site.domain] }),
    code: 'certificate_self_signed',
  },
  {
    name: 'incomplete',
    title: 'comes without the intermediate certificate',
    // ejabberd completes a chain with certificates in the files of other domains, so no other domain has this issuer.
    issue(site) {
      const issuer = site.authorities.root.intermediate(`Intermediate of ${site.domain}`)
      return issuer.issue({ names: [site.domain] })
    },
    code: 'certificate_chain_incomplete',
  },
  {
    name: 'untrusted',
    title: 'is that of an unknown authority',
    issue(site) {
      const { unknown } = site.authorities
      return withChain(unknown.issue({ names: [site.domain] }), [unknown.cert])
    },
    code: 'certificate_untrusted',
  },
]

const ALL: readonly SrvName[] = ['xmpp-client', 'xmpps-client', 'xmpp-server', 'xmpps-server']

const onServer = (
  { name, title, issue, code }: CertificateFault,
  kind: ServerKind,
  services: readonly SrvName[],
): Fault =>
  served(
    `certificate-${name}-${kind.replaceAll('.', '-')}`,
    `the certificate of ${kind === 'ejabberd' ? kind : `Prosody ${kind}`} ${title}`,
    onEach(code, services),
    (site) => ({ kind, certificate: issue(site) }),
    services,
  )

const pick = (...names: readonly string[]) =>
  CERTIFICATE_FAULTS.filter(({ name }) => names.includes(name))

export const FAULTS_OF_CERTIFICATES: readonly Fault[] = [
  ...CERTIFICATE_FAULTS.map((fault) => onServer(fault, '13.0.1', ALL)),
  ...pick('expired', 'incomplete').flatMap((fault) => [
    onServer(fault, '0.12.3', ALL),
    onServer(fault, 'ejabberd', ['xmpp-client', 'xmpp-server']),
  ]),
  {
    name: 'certificate-expired-direct',
    title: 'the certificate of only the ports with direct TLS has expired',
    arrange(site) {
      const directCertificate = site.certificate({ from: inDays(-20), to: inDays(-1) })
      announce(site, site.serve({ directCertificate }), ALL)
    },
    problems: onEach('certificate_expired', ['xmpps-client', 'xmpps-server']),
  },
  {
    name: 'certificates-differ',
    title: 'two targets of a service have different certificates',
    arrange(site) {
      announce(site, site.serve(), ['xmpp-client', 'xmpp-server'])
      const second = site.serve({ kind: '0.12.3', certificate: site.certificate() })
      site.srv('xmpp-client', 'second', PORTS['xmpp-client'], 20)
      site.address('second', second)
    },
    problems: [{ code: 'certificates_differ', service: 'xmpp-client' }],
  },
]

/** The certificate of a server over IPv6 alone. */
export const certificateProblem = ({ code }: CertificateFault): Fault['problems'] =>
  onBoth(code, 'xmpp-client', PORTS['xmpp-client'], ['ipv6'])
