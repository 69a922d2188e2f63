import type { AddressFamily, Problem } from '../outside-check.js'
import {
  findFamilyAddresses,
  type AddressOptions,
  type DnsProblem,
  type FamilyAddresses,
} from './find-addresses.js'
import { normalizeHostName } from './host-name.js'
import type { Resolver } from './resolver.js'

/** The addresses of a target. The caller adds the service and the target to the problems. */
export type FoundTarget = Readonly<Record<AddressFamily, readonly string[]>> & {
  /** Whether DNS has an address, even if it is one of a private network, or if a lookup failed. */
  readonly mayExist: boolean
  readonly problems: readonly (DnsProblem & Pick<Problem, 'family'>)[]
}

type BothFamilies = Readonly<Record<AddressFamily, FamilyAddresses>>

/** Longer chains of aliases are not followed by resolvers either. BIND and Unbound stop after 11 to 17. */
const MAX_ALIASES = 16

/**
 * Looks up the addresses of a target.
 *
 * @param mayBeAlias A target of an SRV record must not be an alias (RFC 2782). The domain itself may be one.
 */
export async function findTarget(
  target: string,
  { mayBeAlias, ...options }: AddressOptions & { readonly mayBeAlias: boolean },
): Promise<FoundTarget> {
  const [direct, alias] = await Promise.all([
    findBothFamilies(target, options),
    options.resolver.alias(target),
  ])
  if (alias.state !== 'found') return describeTarget(direct, 'srv_target_not_found', [])
  const aliasProblems = mayBeAlias ? [] : [{ code: 'srv_target_alias' } as const]
  if (hasAddress(direct)) return describeTarget(direct, 'srv_target_loop', aliasProblems)
  // An error such as SERVFAIL can be the answer to a loop. Besides, an authoritative server does not follow aliases
  // into the zones of other servers.
  const end = await findEndOfAliases(target, options.resolver)
  if (end === undefined) {
    return { ipv4: [], ipv6: [], mayExist: false, problems: [{ code: 'srv_target_loop' }] }
  }
  const found = await findBothFamilies(end, options)
  return describeTarget(found, 'srv_target_loop', hasAddress(found) ? aliasProblems : [])
}

async function findBothFamilies(target: string, options: AddressOptions): Promise<BothFamilies> {
  const [ipv4, ipv6] = await Promise.all([
    findFamilyAddresses(target, 'ipv4', options),
    findFamilyAddresses(target, 'ipv6', options),
  ])
  return { ipv4, ipv6 }
}

const hasAddress = ({ ipv4, ipv6 }: BothFamilies): boolean =>
  ipv4.state === 'found' || ipv6.state === 'found'

const isMissing = ({ state }: FamilyAddresses): boolean =>
  state === 'no_data' || state === 'not_found'

/** Follows the aliases of a name. Returns the first name that is no alias; `undefined` if there is none. */
async function findEndOfAliases(start: string, resolver: Resolver): Promise<string | undefined> {
  const seen = new Set<string>()
  let name = start
  while (!seen.has(name) && seen.size < MAX_ALIASES) {
    seen.add(name)
    const [next] = (await resolver.alias(name)).records
    if (next === undefined) return name
    const normalized = normalizeHostName(next)
    if (normalized === undefined) return undefined
    name = normalized
  }
  return undefined
}

/** @param missing The problem if no family has an address. */
function describeTarget(
  found: BothFamilies,
  missing: 'srv_target_not_found' | 'srv_target_loop',
  others: readonly DnsProblem[],
): FoundTarget {
  const { ipv4, ipv6 } = found
  const mayExist = !isMissing(ipv4) || !isMissing(ipv6)
  return {
    ipv4: ipv4.addresses,
    ipv6: ipv6.addresses,
    mayExist,
    problems: [
      ...others,
      ...(mayExist ? [] : [{ code: missing }]),
      ...joinProblems(ipv4.problems, ipv6.problems),
    ],
  }
}

/**
 * Adds the family to the problems. A problem of DNS in both families becomes one problem without a family, because
 * it has the same cause. A private address has a family, as the endpoint would have.
 */
function joinProblems(
  ipv4: readonly DnsProblem[],
  ipv6: readonly DnsProblem[],
): FoundTarget['problems'] {
  const isIn = (problems: readonly DnsProblem[], { code }: DnsProblem) =>
    code !== 'private_address' && problems.some((other) => other.code === code)
  return [
    ...ipv4.map((each) => (isIn(ipv6, each) ? each : { ...each, family: 'ipv4' as const })),
    ...ipv6.flatMap((each) => (isIn(ipv4, each) ? [] : { ...each, family: 'ipv6' as const })),
  ]
}
