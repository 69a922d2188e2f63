import { domainToUnicode } from 'node:url'
import type { Side } from '../../outside/dns/find-endpoints.js'
import {
  listProblems,
  type DomainCheck,
  type EndpointCheck,
  type Problem,
} from '../../outside/outside-check.js'
import { isError } from '../../outside/problem-severity.js'

/** Lists the problems of a domain and of its endpoints, the errors first. */
export function listSortedProblems(check: DomainCheck): readonly Problem[] {
  const all = listProblems(check)
  return [...all.filter(({ code }) => isError(code)), ...all.filter(({ code }) => !isError(code))]
}

/** The user of an endpoint: a client, another server, or a web client. */
export type EndpointUser = Side | 'web'

export function getUser({ endpoint: { service } }: EndpointCheck): EndpointUser {
  if (service.endsWith('-client')) return 'client'
  return service.endsWith('-server') ? 'server' : 'web'
}

const NAMES: Readonly<Record<Side, string>> = { client: 'clients', server: 'other servers' }

/** Formats the first line of the report: whether clients and servers can connect, and the number of problems. */
export function formatOutsideVerdict(check: DomainCheck, sides: readonly Side[]): string {
  const isUp = (side: Side) => check.endpoints.some((each) => getUser(each) === side && each.isUp)
  const up = sides.filter(isUp)
  const problems = listSortedProblems(check)
  const errors = problems.filter(({ code }) => isError(code)).length
  const counts = formatCounts(errors, problems.length - errors)
  const reach = formatReach(check.domain, up, sides)
  if (problems.length === 0) return `All good: ${reach}.`
  if (errors === 0 && up.length > 0) return `Working, with ${counts}: ${reach}.`
  if (up.length === 0) return `Not working, with ${counts}: ${reach}.`
  const but = up.length === sides.length ? ', but not at every endpoint' : ''
  return `Partly working, with ${counts}: ${reach}${but}.`
}

function formatReach(domain: string, up: readonly Side[], sides: readonly Side[]): string {
  const namesOf = (some: readonly Side[]) => some.map((side) => NAMES[side])
  const name = formatDomain(domain)
  const down = sides.filter((side) => !up.includes(side))
  if (down.length === 0) return `${namesOf(up).join(' and ')} can connect to ${name}`
  if (up.length > 0) {
    return `${namesOf(up).join(' and ')} can connect to ${name}, ${namesOf(down).join(' and ')} cannot`
  }
  return down.length === 1
    ? `${namesOf(down).join('')} cannot connect to ${name}`
    : `neither ${namesOf(down).join(' nor ')} can connect to ${name}`
}

function formatCounts(errors: number, warnings: number): string {
  const count = (n: number, name: string) => `${n} ${name}${n === 1 ? '' : 's'}`
  const parts = [
    ...(errors > 0 ? [count(errors, 'error')] : []),
    ...(warnings > 0 ? [count(warnings, 'warning')] : []),
  ]
  return parts.join(' and ')
}

/** Formats a domain with A-labels for people: `bücher.example (xn--bcher-kva.example)`. */
function formatDomain(domain: string): string {
  const unicode = domainToUnicode(domain)
  return unicode === domain || unicode === '' ? domain : `${unicode} (${domain})`
}
