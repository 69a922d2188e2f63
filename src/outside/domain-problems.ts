import {
  formatTarget,
  SRV_SERVICES,
  type AddressFamily,
  type EndpointCheck,
  type Problem,
} from './outside-check.js'
import { isError, type ProblemCode } from './problem-severity.js'

/** The problems that a path through the network can cause. A bad certificate, for example, is not one of them. */
const PATH_PROBLEMS: ReadonlySet<ProblemCode> = new Set([
  'connection_refused',
  'connection_timeout',
  'network_unreachable',
  'connection_reset',
  'no_response',
  'http_server',
  'ssh_server',
  'not_xmpp',
  'tls_timeout',
] satisfies ProblemCode[])

/** Returns the problems that only several endpoints together show. */
export function findDomainProblems(checks: readonly EndpointCheck[]): Problem[] {
  return SRV_SERVICES.flatMap((service) => {
    const ofService = checks.filter(({ endpoint }) => endpoint.service === service)
    const found = [...findBrokenFamily(ofService), ...findDifferentCertificates(ofService)]
    return found.map((problem) => ({ ...problem, service }))
  })
}

/**
 * Compares the families of the targets that have both. A family is broken if it works nowhere where the other family
 * works. Targets where neither works say nothing about the families.
 */
function findBrokenFamily(checks: readonly EndpointCheck[]): Problem[] {
  const pairs = checks.flatMap((ipv4) => {
    const ipv6 = checks.find((other) => isOtherFamily(ipv4, other))
    return ipv4.endpoint.family === 'ipv4' && ipv6 ? [{ ipv4, ipv6 }] : []
  })
  const useful = pairs.filter(({ ipv4, ipv6 }) => ipv4.isUp || ipv6.isUp)
  const isBroken = (family: AddressFamily): boolean =>
    useful.length > 0 && useful.every((pair) => !pair[family].isUp && hasPathProblem(pair[family]))
  if (isBroken('ipv6')) return [{ code: 'ipv6_broken', family: 'ipv6' }]
  return isBroken('ipv4') ? [{ code: 'ipv4_broken', family: 'ipv4' }] : []
}

const isOtherFamily = (a: EndpointCheck, b: EndpointCheck): boolean =>
  a.endpoint.family !== b.endpoint.family && formatTarget(a.endpoint) === formatTarget(b.endpoint)

const hasPathProblem = ({ problems }: EndpointCheck): boolean =>
  problems.some(({ code }) => PATH_PROBLEMS.has(code))

/** A wrong certificate is different from the others, but its endpoint already has a problem of its own. */
function findDifferentCertificates(checks: readonly EndpointCheck[]): Problem[] {
  const sent = checks.flatMap(({ endpoint, certificate, problems }) =>
    certificate === undefined || problems.some(isWrongCertificate)
      ? []
      : { target: formatTarget(endpoint), family: endpoint.family, sha256: certificate.sha256 },
  )
  const [first] = sent
  const other = sent.find(({ sha256 }) => sha256 !== first?.sha256)
  if (first === undefined || other === undefined) return []
  const [left, right] = [first, other].map(({ target, family }) => `${target} (${family})`)
  return [{ code: 'certificates_differ', detail: `${left} and ${right}` }]
}

const isWrongCertificate = ({ code }: Problem): boolean =>
  code === 'certificate_stale' || (code.startsWith('certificate_') && isError(code))
