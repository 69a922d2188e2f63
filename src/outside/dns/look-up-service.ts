import type { SrvRecord } from 'node:dns'
import { formatTarget, type Problem, type SrvLookup, type SrvService } from '../outside-check.js'
import { findAnswerProblems } from './find-addresses.js'
import { normalizeHostName } from './host-name.js'
import type { Resolver } from './resolver.js'

export type ServiceTarget = { readonly target: string; readonly port: number }

/** The SRV records of one service. */
export type ServiceRecords = {
  readonly lookup: SrvLookup
  /** The targets in the order in which clients use them, without duplicates. */
  readonly targets: readonly ServiceTarget[]
  readonly problems: readonly Problem[]
}

const MAX_TARGETS = 8

/** Looks up the SRV records of a service. @see RFC 2782, RFC 6120 §3.2.1 */
export async function lookUpService(
  service: SrvService,
  domain: string,
  resolver: Resolver,
): Promise<ServiceRecords> {
  const answer = await resolver.srv(`_${service}._tcp.${domain}`)
  const records = answer.records.filter(({ name }) => !isRoot(name))
  const { targets, problems } = readTargets(records)
  const isMixed = records.length > 0 && records.length < answer.records.length
  const all: Omit<Problem, 'service'>[] = [
    ...findAnswerProblems(answer),
    ...(isMixed ? [{ code: 'srv_dot_mixed' } as const] : []),
    ...problems,
    ...(targets.length > MAX_TARGETS
      ? [{ code: 'srv_too_many', detail: `${targets.length} records` } as const]
      : []),
  ]
  return {
    lookup: {
      service,
      state: getState(answer.state, records),
      records: answer.records.length,
      seconds: answer.seconds,
    },
    targets: targets.slice(0, MAX_TARGETS),
    problems: all.map((problem) => ({ ...problem, service })),
  }
}

/** The target "." says that the domain does not offer the service (RFC 2782). */
const isRoot = (name: string): boolean => name === '' || name === '.'

function getState(
  state: Awaited<ReturnType<Resolver['srv']>>['state'],
  withTarget: readonly SrvRecord[],
): SrvLookup['state'] {
  if (state === 'found') return withTarget.length > 0 ? 'found' : 'not_offered'
  return state === 'no_data' || state === 'not_found' ? 'missing' : 'failed'
}

function readTargets(records: readonly SrvRecord[]): {
  targets: ServiceTarget[]
  problems: Omit<Problem, 'service'>[]
} {
  const targets = new Map<string, ServiceTarget>()
  const withoutPort = new Set<string>()
  const invalid: string[] = []
  for (const { name, port } of [...records].sort(compareRecords)) {
    const target = normalizeHostName(name)
    if (target === undefined) invalid.push(name)
    else if (port === 0) withoutPort.add(target)
    else targets.set(formatTarget({ target, port }), { target, port })
  }
  // Without a port, the target alone is the label. An answer can have more than a thousand records.
  const problems: Omit<Problem, 'service'>[] = [...withoutPort]
    .slice(0, MAX_TARGETS)
    .map((target) => ({ code: 'srv_port_invalid', target }))
  if (invalid.length > 0) {
    // The name can have any characters and any length, so it is no label.
    const detail = invalid.join(', ').replace(/[^ -~]/g, '?')
    problems.push({ code: 'srv_target_invalid', detail: detail.slice(0, 256) })
  }
  return { targets: [...targets.values()], problems }
}

/**
 * Compares records by priority and weight, as clients do. The order of records that are equal in both is random in the
 * answer; here it is always the same, so that each check has the same endpoints.
 */
function compareRecords(a: SrvRecord, b: SrvRecord): number {
  if (a.priority !== b.priority) return a.priority - b.priority
  if (a.weight !== b.weight) return b.weight - a.weight
  if (a.name !== b.name) return a.name < b.name ? -1 : 1
  return a.port - b.port
}
