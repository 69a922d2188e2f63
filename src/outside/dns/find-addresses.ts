import type { AddressFamily, Problem } from '../outside-check.js'
import { isPrivateAddress } from './private-addresses.js'
import type { DnsAnswer, DnsState, Resolver } from './resolver.js'

export type AddressOptions = {
  readonly resolver: Resolver
  /** Whether addresses of private networks are returned. */
  readonly allowPrivate: boolean
}

/** A problem of a DNS answer. The caller adds the service and the target. */
export type DnsProblem = Pick<Problem, 'code' | 'detail'>

/** The addresses of one family. */
export type FamilyAddresses = {
  readonly state: DnsState
  /** In the order of the DNS answer, without addresses of private networks unless these are allowed. */
  readonly addresses: readonly string[]
  readonly problems: readonly DnsProblem[]
}

const SLOW_SECONDS = 2
const MAX_ADDRESSES = 4

/** Looks up the A and AAAA records of a host. A host without addresses has no problem here. */
export async function findAddresses(
  target: string,
  options: AddressOptions,
): Promise<{
  readonly ipv4: readonly string[]
  readonly ipv6: readonly string[]
  readonly problems: readonly Problem['code'][]
}> {
  const [ipv4, ipv6] = await Promise.all([
    findFamilyAddresses(target, 'ipv4', options),
    findFamilyAddresses(target, 'ipv6', options),
  ])
  const codes = [...ipv4.problems, ...ipv6.problems].map(({ code }) => code)
  return { ipv4: ipv4.addresses, ipv6: ipv6.addresses, problems: [...new Set(codes)] }
}

export async function findFamilyAddresses(
  target: string,
  family: AddressFamily,
  { resolver, allowPrivate }: AddressOptions,
): Promise<FamilyAddresses> {
  const answer = await resolver.addresses(target, family)
  const addresses = [...new Set(answer.records)]
  const usable = allowPrivate ? addresses : addresses.filter((each) => !isPrivateAddress(each))
  const hasPrivate = usable.length < addresses.length
  return {
    state: answer.state,
    addresses: usable.slice(0, MAX_ADDRESSES),
    problems: [
      ...findAnswerProblems(answer),
      ...(hasPrivate ? [{ code: 'private_address' } as const] : []),
    ],
  }
}

/** Returns what is wrong with an answer itself. A missing record is no problem here. */
export function findAnswerProblems({
  state,
  seconds,
  detail,
}: Omit<DnsAnswer<unknown>, 'records'>): DnsProblem[] {
  const extra = detail === undefined ? {} : { detail }
  if (state === 'failed') return [{ code: 'dns_failed', ...extra }]
  if (state === 'timeout') return [{ code: 'dns_timeout', ...extra }]
  return seconds > SLOW_SECONDS ? [{ code: 'dns_slow', detail: `${seconds.toFixed(1)} s` }] : []
}
