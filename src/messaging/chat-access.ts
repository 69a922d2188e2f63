import { askServedHosts } from '../collectors/served-hosts.js'
import { describeHost } from '../collectors/describe-host.js'
import { getErrorMessage, LinkError, TimeoutError } from '../errors.js'
import type { Log } from '../log/log.js'
import { getDomain } from '../xmpp/jid.js'
import type { Schedule } from '../xmpp/schedule.js'
import type { MessagingClient } from './messaging-client.js'

const RETRY_MS = 30_000
/** How many domains a log line names. */
const MAX_NAMED = 10

export type ChatAccess = {
  /** Whether the exporter serves this person. Before the first check of the hosts has ended, it serves no person. */
  isAllowed(person: string): boolean
  /** Waits for the running check of the hosts, and returns the result of `isAllowed`. Never rejects. */
  waitFor(person: string): Promise<boolean>
  /** Checks which people the exporter may serve. Call this function after each login, and after each reload. */
  check(): void
  stop(): void
}

/**
 * Determines which of the people in `chat.allow` the exporter serves: those of a VirtualHost of this Prosody. Only
 * these accounts are authenticated by this Prosody. Any other domain is another server, or a component, and its
 * operator could send in the name of any of its users.
 */
export function createChatAccess(options: {
  readonly allow: () => readonly string[]
  readonly client: Pick<MessagingClient, 'isConnected' | 'request'>
  readonly log: Log
  readonly schedule: Schedule
}): ChatAccess {
  const { allow, client, log, schedule } = options
  let virtualHosts: ReadonlySet<string> = new Set()
  let running: Promise<void> = Promise.resolve()
  let checks = 0
  let cancelRetry = () => {}
  let lastProblem: string | undefined

  const isAllowed = (person: string) =>
    virtualHosts.has(getDomain(person)) && allow().includes(person)

  async function runCheck(): Promise<void> {
    const check = ++checks
    const domains = [...new Set(allow().map(getDomain))]
    try {
      const { found, problem, isComplete } = await findVirtualHosts(client, domains)
      // A newer check has started, for example after a new login.
      if (check !== checks) return
      virtualHosts = new Set(found)
      report(problem)
      if (!isComplete) cancelRetry = schedule(RETRY_MS, start)
    } catch (error) {
      if (check !== checks) return
      virtualHosts = new Set()
      // After a lost stream, the next login starts the next check.
      if (error instanceof LinkError) return
      report(
        `Nobody in chat.allow gets answers yet, because the check of their hosts failed: ${getErrorMessage(error)}. ` +
          'The exporter tries again in 30 s.',
      )
      cancelRetry = schedule(RETRY_MS, start)
    }
  }

  /** A problem that repeats after each login is logged once. */
  function report(problem: string | undefined): void {
    if (problem !== undefined && problem !== lastProblem) log.warn(problem)
    lastProblem = problem
  }

  function start(): void {
    cancelRetry()
    running = runCheck()
  }

  return {
    isAllowed,
    async waitFor(person) {
      await running
      return isAllowed(person)
    },
    check() {
      if (client.isConnected()) start()
    },
    stop() {
      checks++
      cancelRetry()
    },
  }
}

type HostCheck = {
  readonly found: readonly string[]
  readonly problem: string | undefined
  /** Whether all hosts have answered. */
  readonly isComplete: boolean
}

/**
 * Finds the domains that are a VirtualHost of this Prosody. mod_adhoc_statistics reports which domains are hosts of this
 * Prosody, so no request is sent to another server. A VirtualHost has the identity `server/im`, and a component has not.
 *
 * @throws {LinkError | TimeoutError | StanzaError}
 */
async function findVirtualHosts(
  client: Pick<MessagingClient, 'request'>,
  domains: readonly string[],
): Promise<HostCheck> {
  const served = await askServedHosts(client, domains)
  if (!served) {
    const problem =
      'Nobody in chat.allow gets answers, because this Prosody does not report which hosts it has. ' +
      'Load mod_adhoc_statistics for the component, in the version of this exporter.'
    return { found: [], problem, isComplete: true }
  }
  const kinds = await Promise.all(
    domains.map(async (domain) => (served.has(domain) ? await findKind(client, domain) : 'other')),
  )
  const select = (kind: HostKind) => domains.filter((_, i) => kinds[i] === kind)
  const [silent, refused] = [select('unknown'), select('other')]
  const problems = [
    ...(silent.length > 0 ? [describeSilent(silent)] : []),
    ...(refused.length > 0 ? [describeRefused(refused)] : []),
  ]
  return {
    found: select('virtual host'),
    problem: problems.length > 0 ? problems.join(' ') : undefined,
    isComplete: silent.length === 0,
  }
}

type HostKind = 'virtual host' | 'other' | 'unknown'

/** A host that does not answer, for example a component whose process hangs, must not lock out the people of other hosts. */
async function findKind(
  client: Pick<MessagingClient, 'request'>,
  domain: string,
): Promise<HostKind> {
  const host = await describeHost(client, domain)
  if (host instanceof TimeoutError) return 'unknown'
  if (host instanceof Error) return 'other'
  const isVirtualHost = host.identities.some(
    ({ category, type }) => category === 'server' && type === 'im',
  )
  return isVirtualHost ? 'virtual host' : 'other'
}

const describeSilent = (domains: readonly string[]) =>
  `People in chat.allow of hosts that do not answer get no answers yet: ${nameDomains(domains)}. The exporter tries again in 30 s.`

function describeRefused(domains: readonly string[]): string {
  return (
    `People in chat.allow whose domain is no VirtualHost of this Prosody get no answers: ` +
    `${nameDomains(domains)}. Name accounts of this Prosody in chat.allow.`
  )
}

function nameDomains(domains: readonly string[]): string {
  const more = domains.length > MAX_NAMED ? ` and ${domains.length - MAX_NAMED} more` : ''
  return domains.slice(0, MAX_NAMED).join(', ') + more
}
