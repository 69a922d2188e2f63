/** The description of a fault, and of what the check has to call it. */

import type { WebService } from '../../../src/outside/outside-check.js'
import { isError, type ProblemCode } from '../../../src/outside/problem-severity.js'
import { announce, PORTS, type ServeOptions, type Site, type SrvName } from './lab-site.js'
import type { AddressPair } from './namespaces.js'

export type Family = 'ipv4' | 'ipv6'

/** The labels of a problem. The target is relative to the domain; without a port, it is a name alone. */
export type ExpectedProblem = {
  readonly code: ProblemCode
  readonly service?: SrvName | WebService
  /** By default, there is no target. */
  readonly target?: string
  readonly port?: number
  readonly family?: Family
}

/** Which DNS server the exporter asks. By default, it is `recursive`. */
export type NameServerKind = 'recursive' | 'authoritative' | 'slow' | 'silent'

export type Fault = {
  /** The first label of the domain. */
  readonly name: string
  /** What is wrong, for the name of the test. */
  readonly title: string
  /** Describes the domain: its records, and what runs at its addresses. */
  arrange(site: Site): void
  /** Everything that the check has to find. An empty list is a healthy domain. */
  readonly problems: readonly ExpectedProblem[]
  readonly nameServer?: NameServerKind
}

const FAMILIES: readonly Family[] = ['ipv4', 'ipv6']

/** Returns the problem of an endpoint at `xmpp.DOMAIN`, over IPv4 and IPv6. */
export function onBoth(
  code: ProblemCode,
  service: SrvName,
  port: number = PORTS[service],
  families: readonly Family[] = FAMILIES,
): ExpectedProblem[] {
  return families.map((family) => ({ code, service, target: 'xmpp', port, family }))
}

/** Returns a problem over IPv4 and over IPv6. */
export const onBothAt = (problem: Omit<ExpectedProblem, 'family'>): ExpectedProblem[] =>
  FAMILIES.map((family) => ({ ...problem, family }))

/** Returns the same problem of several services. */
export function onEach(
  code: ProblemCode,
  services: readonly SrvName[] = ['xmpp-client', 'xmpp-server'],
): ExpectedProblem[] {
  return services.flatMap((service) => onBoth(code, service))
}

/** Formats the expected labels of a problem as `formatLabels` does. */
export function formatExpected(domain: string, problem: ExpectedProblem): string {
  const { code, service = '', target: label, port, family = '' } = problem
  const name = label === '' ? domain : `${label}.${domain}`
  const target = label === undefined ? '' : port === undefined ? name : `${name}:${port}`
  return formatLabels(code, { service, target, family })
}

/** Formats the labels of a problem, so that two lists can be compared. */
export function formatLabels(
  code: string,
  labels: Readonly<Partial<Record<'service' | 'target' | 'family', string>>>,
): string {
  const { service = '', target = '', family = '' } = labels
  return [code, service, target, family].filter((each) => each !== '').join(' ')
}

const SRV_ALERT: readonly ProblemCode[] = [
  ...(['domain_not_found', 'service_not_offered', 'srv_missing', 'srv_dot_mixed'] as const),
  ...(['srv_port_invalid', 'srv_target_invalid', 'srv_target_loop'] as const),
  'srv_target_not_found',
]
const DOMAIN_ALERT: readonly ProblemCode[] = ['dns_failed', 'dns_timeout', 'private_address']

/**
 * Returns the name of the alert about a problem. A problem of several endpoints has none, because each of these
 * endpoints has a problem of its own.
 *
 * @param all All problems of the domain.
 */
export function findAlert(
  problem: ExpectedProblem,
  all: readonly ExpectedProblem[],
): string | undefined {
  const { code, service, target, port } = problem
  if (code === 'ipv4_broken' || code === 'ipv6_broken') return undefined
  if (SRV_ALERT.includes(code)) return 'XmppSrvMissing'
  if (code === 'certificate_chain_incomplete') return 'XmppCertificateChainIncomplete'
  if (code === 'certificate_stale') return 'XmppStaleCertificateServed'
  if (DOMAIN_ALERT.includes(code) || !isError(code)) return 'XmppDomainProblem'
  const failsOverIpv4 = all.some(
    (each) =>
      each.family === 'ipv4' &&
      isError(each.code) &&
      each.service === service &&
      each.target === target &&
      each.port === port,
  )
  return problem.family === 'ipv6' && !failsOverIpv4 ? 'XmppIpv6Broken' : 'XmppEndpointDown'
}

/** The services of the other side than that of the given service, at a server without a fault. */
export function announceOther(site: Site, service: SrvName, pair: AddressPair): void {
  const other = service.endsWith('-client') ? 'xmpp-server' : 'xmpp-client'
  site.srv(other, 'other')
  site.address('other', pair)
}

/**
 * Announces a service whose target has other addresses than the server of the domain. The other side of the domain
 * has no fault.
 */
export function announceFaulty(
  site: Site,
  service: SrvName,
  pair: Partial<AddressPair>,
  options?: ServeOptions,
): void {
  announceOther(site, service, site.serve(options))
  announce(site, pair, [service])
}
