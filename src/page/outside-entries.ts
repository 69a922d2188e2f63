import { isIP } from 'node:net'
import { describeProblem } from '../outside/problem-texts.js'
import {
  formatFamily,
  listProblems,
  type DomainCheck,
  type Problem,
} from '../outside/outside-check.js'
import { isError } from '../outside/problem-severity.js'
import { sortByUrgency, type AttentionEntry } from './attention.js'
import { formatNumber } from './format-values.js'

/** The number of other endpoints, or domains, with the same problem that an entry names. */
const MAX_NAMES = 3

/** Lists the problems of several domains, urgent ones first. A problem that domains share is one entry. */
export function mergeEntries(
  domains: readonly { readonly domain: string; readonly entries: readonly AttentionEntry[] }[],
): AttentionEntry[] {
  const groups = new Map<string, { entry: AttentionEntry; others: string[] }>()
  for (const { domain, entries } of domains) {
    for (const entry of entries) {
      const group = groups.get(entry.cause)
      if (group) group.others.push(domain)
      else groups.set(entry.cause, { entry, others: [] })
    }
  }
  const merged = [...groups.values()].map(({ entry, others }) => ({
    ...entry,
    remedy:
      others.length > 0
        ? `${entry.remedy} Other domains with this problem: ${formatNames(others)}.`
        : entry.remedy,
  }))
  return sortByUrgency(merged)
}

/** Lists the problems of a domain, urgent ones first. The same problem of several endpoints is one entry. */
export function listDomainEntries(check: DomainCheck): AttentionEntry[] {
  const groups = new Map<string, Problem[]>()
  for (const problem of listUnrepeated(check)) {
    groups.set(problem.code, [...(groups.get(problem.code) ?? []), problem])
  }
  return sortByUrgency(
    [...groups.values()].map(([first, ...others]) =>
      createEntry(check.domain, first!, others.map(namePlace)),
    ),
  )
}

/** Lists the problems of a domain and of its endpoints, each cause once. */
function listUnrepeated(check: DomainCheck): Problem[] {
  const { endpoints } = check
  const isDown = (family: string) =>
    endpoints.some(({ endpoint, isUp }) => endpoint.family === family && !isUp)
  const hasWrongCertificate = (service: Problem['service']) =>
    endpoints.some(
      ({ endpoint, problems }) =>
        endpoint.service === service &&
        problems.some(({ code }) => code.startsWith('certificate_') && isError(code)),
    )
  // These problems only compare endpoints. The problems of the endpoints say what is wrong.
  const isRepeated = ({ code, service }: Problem) =>
    (code === 'ipv6_broken' && isDown('ipv6')) ||
    (code === 'ipv4_broken' && isDown('ipv4')) ||
    (code === 'certificates_differ' && hasWrongCertificate(service))
  return listProblems(check).filter((problem) => !isRepeated(problem))
}

function createEntry(domain: string, first: Problem, others: readonly string[]): AttentionEntry {
  const { cause, remedy } = describeProblem(first, domain)
  const names = [...new Set(others)].filter((name) => name !== namePlace(first))
  return {
    check: 'outside',
    severity: isError(first.code) ? 'red' : 'amber',
    cause: maskAddresses(cause),
    remedy: maskAddresses(
      names.length > 0 ? `${remedy} The same is true for: ${formatNames(names)}.` : remedy,
    ),
  }
}

function formatNames(names: readonly string[]): string {
  const omitted = names.length - MAX_NAMES
  const shown = names.slice(0, MAX_NAMES).join(', ')
  return omitted > 0 ? `${shown}, and ${formatNumber(omitted)} more` : shown
}

function namePlace({ service, target, family }: Problem): string {
  const place = [
    ...(service === undefined ? [] : [service]),
    ...(target === undefined ? [] : [`at ${target}`]),
    ...(family === undefined ? [] : [`over ${formatFamily(family)}`]),
  ]
  return place.join(' ') || 'the domain'
}

/** Other people than the operator can read the page. A DNS record can have an address where a host name must be. */
export function maskAddresses(text: string): string {
  return text
    .replace(/\b\d{1,3}(?:\.\d{1,3}){3}\b/g, '(address)')
    .replace(/[\da-f:]*:[\da-f:]*/gi, (part) =>
      // The name "::" of all addresses of a machine can be in a remedy.
      isIP(part) === 6 && part !== '::' ? '(address)' : part,
    )
}
