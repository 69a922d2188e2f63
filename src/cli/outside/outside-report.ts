import type { Side } from '../../outside/dns/find-endpoints.js'
import {
  formatFamily,
  formatTarget,
  type AddressFamily,
  type DomainCheck,
  type EndpointCheck,
  type Problem,
  type SrvLookup,
} from '../../outside/outside-check.js'
import { PROBLEMS } from '../../outside/problem-severity.js'
import { describeProblem } from '../../outside/problem-texts.js'
import { escapeControls } from '../escape-controls.js'
import { alignColumns } from './align-columns.js'
import { formatEndpoints, formatMs } from './endpoint-lines.js'
import {
  formatOutsideVerdict,
  getUser,
  listSortedProblems,
  type EndpointUser,
} from './found-problems.js'

const TITLES: Readonly<Record<EndpointUser, string>> = {
  client: 'Endpoints for clients',
  server: 'Endpoints for other servers',
  web: 'Web endpoints',
}

const AFTER_CHANGE =
  'Restart Prosody after a change to its ports, interfaces or modules. The old answers of DNS can remain valid until their TTL ends.'

/** No check from the machine of the server itself shows what a firewall in front of this machine does. */
const FIREWALL_NOTE =
  'If Prosody runs on this machine, this check did not pass the firewall of the provider. Run the same command on another machine too. It needs neither Prosody nor a configuration file there.'

export type ReportOptions = {
  readonly sides: readonly Side[]
  /** The address families over which the check connected. */
  readonly families: readonly AddressFamily[]
  readonly isVerbose: boolean
}

/** Formats the result of a check for a terminal. Each line of text from the network has its control characters escaped. */
export function formatOutsideReport(check: DomainCheck, options: ReportOptions): string {
  const users: readonly EndpointUser[] = ['client', 'server', 'web']
  const lines = [
    formatOutsideVerdict(check, options.sides),
    ...formatSection('DNS', formatLookups(check.domain, check.lookups)),
    ...users.flatMap((user) => {
      const checks = check.endpoints.filter((each) => getUser(each) === user)
      return checks.length === 0 ? [] : formatSection(TITLES[user], formatEndpoints(checks))
    }),
    ...(options.isVerbose ? check.endpoints.flatMap(formatTranscript) : []),
    ...formatProblems(check),
    ...formatSkippedFamily(options.families),
    ...['', FIREWALL_NOTE],
  ]
  return lines.map((line) => `${escapeControls(line)}\n`).join('')
}

function formatSection(title: string, lines: readonly string[]): string[] {
  return ['', `${title}:`, ...lines.map((line) => `  ${line}`)]
}

function formatLookups(domain: string, lookups: readonly SrvLookup[]): string[] {
  return alignColumns(
    lookups.map((lookup) => [
      `_${lookup.service}._tcp.${domain}`,
      formatLookupState(lookup),
      formatMs(lookup.seconds),
    ]),
  )
}

function formatLookupState({ state, records }: SrvLookup): string {
  switch (state) {
    case 'found':
      return records === 1 ? '1 record' : `${records} records`
    case 'missing':
      return 'no record'
    case 'not_offered':
      return 'not offered (target ".")'
    case 'failed':
      return 'no answer'
  }
}

/** Formats the durations of the phases, and the conversation. */
function formatTranscript(check: EndpointCheck): string[] {
  const { endpoint, seconds, transcript } = check
  const title = `${endpoint.service} at ${formatTarget(endpoint)} over ${formatFamily(endpoint.family)}`
  const durations = Object.entries(seconds).map(([phase, value]) => `${phase} ${formatMs(value)}`)
  return formatSection(title, [
    `Addresses: ${endpoint.addresses.join(', ')}`,
    ...(durations.length > 0 ? [`Durations: ${durations.join(', ')}`] : []),
    ...transcript,
  ])
}

function formatSkippedFamily(families: readonly AddressFamily[]): string[] {
  if (families.length === 2) return []
  const skipped = families.includes('ipv4') ? 'IPv6' : 'IPv4'
  return [
    '',
    `This machine has no ${skipped} address, so the check did not connect over ${skipped}. Check ${skipped} from another machine.`,
  ]
}

/** Formats the problems, the errors first. Problems with the same remedy share it. */
function formatProblems(check: DomainCheck): string[] {
  const groups = new Map<string, string[]>()
  for (const problem of listSortedProblems(check)) {
    const { cause, remedy } = describeProblem(problem, check.domain)
    const causes = groups.get(remedy) ?? []
    const line = `${formatSeverity(problem)}: ${cause}`
    if (!causes.includes(line)) groups.set(remedy, [...causes, line])
  }
  if (groups.size === 0) return []
  return [
    ...[...groups].flatMap(([remedy, causes]) => ['', ...causes, `  ${remedy}`]),
    ...['', AFTER_CHANGE],
  ]
}

function formatSeverity({ code }: Problem): string {
  return PROBLEMS[code] === 'error' ? 'Error' : 'Warning'
}
