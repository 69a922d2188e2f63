import {
  ADDRESS_FAMILIES,
  formatTarget,
  type Endpoint,
  type Problem,
  type SrvLookup,
  type SrvService,
} from '../outside-check.js'
import type { AddressOptions } from './find-addresses.js'
import { lookUpService, type ServiceRecords, type ServiceTarget } from './look-up-service.js'
import { findTarget } from './find-target.js'

/** `client`: the services `xmpp-client` and `xmpps-client`. `server`: `xmpp-server` and `xmpps-server`. */
export type Side = 'client' | 'server'

/** What DNS says about a domain. */
export type FoundEndpoints = {
  readonly lookups: readonly SrvLookup[]
  readonly endpoints: readonly Endpoint<SrvService>[]
  readonly problems: readonly Problem[]
}

type SideEndpoints = FoundEndpoints & {
  /** Whether the domain has neither SRV records for the side nor addresses. */
  readonly isNothingFound: boolean
}

type Found = Pick<FoundEndpoints, 'endpoints' | 'problems'>

/** The port of a domain without SRV records (RFC 6120 §3.2.2). Direct TLS has none (XEP-0368). */
const FALLBACK_PORTS = { client: 5222, server: 5269 } as const

/**
 * Looks up the services of a domain and the addresses of their targets.
 *
 * @param domain As `normalizeHostName` returns it.
 */
export async function findEndpoints(
  domain: string,
  { sides, ...options }: AddressOptions & { readonly sides: readonly Side[] },
): Promise<FoundEndpoints> {
  const found = await Promise.all(sides.map((side) => findSide(domain, side, options)))
  const lookups = found.flatMap((side) => side.lookups)
  if (found.length > 0 && found.every(({ isNothingFound }) => isNothingFound)) {
    return { lookups, endpoints: [], problems: [{ code: 'domain_not_found' }] }
  }
  return {
    lookups,
    endpoints: found.flatMap(({ endpoints }) => endpoints),
    problems: removeDuplicates(found.flatMap(({ problems }) => problems)),
  }
}

async function findSide(
  domain: string,
  side: Side,
  options: AddressOptions,
): Promise<SideEndpoints> {
  const [starttls, direct] = await Promise.all([
    lookUpService(`xmpp-${side}`, domain, options.resolver),
    lookUpService(`xmpps-${side}`, domain, options.resolver),
  ])
  const lookups = [starttls.lookup, direct.lookup]
  const isMissing = lookups.every(({ state }) => state === 'missing')
  const [fallback, ...found] = await Promise.all([
    isMissing ? findFallback(domain, side, options) : undefined,
    ...[starttls, direct].map((each) => findServiceEndpoints(domain, each, options)),
  ])
  const all: readonly Found[] = fallback === undefined ? found : [...found, fallback]
  return {
    lookups,
    endpoints: all.flatMap(({ endpoints }) => endpoints),
    problems: [...findNotOffered(lookups), ...all.flatMap(({ problems }) => problems)],
    isNothingFound: fallback?.mayExist === false,
  }
}

/**
 * Returns a problem if the SRV records of a side have no other target than ".". A lookup that failed could have other
 * targets.
 */
function findNotOffered(lookups: readonly SrvLookup[]): Problem[] {
  const refused = lookups.find(({ state }) => state === 'not_offered')
  const isRefused = lookups.every(({ state }) => state === 'not_offered' || state === 'missing')
  return refused && isRefused ? [{ code: 'service_not_offered', service: refused.service }] : []
}

/**
 * Without SRV records, clients and servers use the addresses of the domain.
 *
 * @see RFC 6120 §3.2.2
 */
async function findFallback(
  domain: string,
  side: Side,
  options: AddressOptions,
): Promise<Found & { mayExist: boolean }> {
  const service = `xmpp-${side}` as const
  const to = { target: domain, port: FALLBACK_PORTS[side] }
  const found = await findTargetEndpoints(domain, service, to, { ...options, mayBeAlias: true })
  return { ...found, problems: [{ code: 'srv_missing', service }, ...found.problems] }
}

async function findServiceEndpoints(
  domain: string,
  { lookup, targets, problems }: ServiceRecords,
  options: AddressOptions,
): Promise<Found> {
  const found = await Promise.all(
    targets.map((target) =>
      findTargetEndpoints(domain, lookup.service, target, { ...options, mayBeAlias: false }),
    ),
  )
  return {
    endpoints: found.flatMap(({ endpoints }) => endpoints),
    problems: [...problems, ...found.flatMap((each) => each.problems)],
  }
}

async function findTargetEndpoints(
  domain: string,
  service: SrvService,
  { target, port }: ServiceTarget,
  options: Parameters<typeof findTarget>[1],
): Promise<Found & { mayExist: boolean }> {
  const found = await findTarget(target, options)
  return {
    endpoints: ADDRESS_FAMILIES.flatMap((family) =>
      found[family].length === 0
        ? []
        : { domain, service, target, port, family, addresses: found[family] },
    ),
    problems: found.problems.map((problem) => ({
      ...problem,
      service,
      target: formatTarget({ target, port }),
    })),
    mayExist: found.mayExist,
  }
}

/** Keeps the first of the problems with the same labels, because each is one series. */
function removeDuplicates(problems: readonly Problem[]): Problem[] {
  const byLabels = new Map<string, Problem>()
  for (const problem of problems) {
    const { code, service, target, family } = problem
    const key = JSON.stringify([code, service, target, family])
    if (!byLabels.has(key)) byLabels.set(key, problem)
  }
  return [...byLabels.values()]
}
