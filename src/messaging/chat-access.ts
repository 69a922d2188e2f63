import { askVirtualHosts } from '../collectors/served-hosts.js'
import { getErrorMessage, LinkError } from '../errors.js'
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
 * operator could send in the name of any of its users. mod_adhoc_statistics reports which domains are VirtualHosts, so
 * the exporter sends no request to another server.
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
      const found = await askVirtualHosts(client, domains)
      // A newer check has started, for example after a new login.
      if (check !== checks) return
      virtualHosts = found ?? new Set()
      const refused = domains.filter((domain) => !virtualHosts.has(domain))
      report(found ? describeRefused(refused) : NOT_REPORTED)
      // A module that is loaded later is found then.
      if (!found) cancelRetry = schedule(RETRY_MS, start)
    } catch (error) {
      if (check !== checks) return
      virtualHosts = new Set()
      // After a lost stream, the next login starts the next check.
      if (error instanceof LinkError) return
      report(
        `Nobody in chat.allow gets answers yet, because the check of their domains failed: ${getErrorMessage(error)}. ` +
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

const NOT_REPORTED =
  'Nobody in chat.allow gets answers, because this Prosody does not report which domains are its VirtualHosts. ' +
  'Load mod_adhoc_statistics for the component, in the version of this exporter.'

/** Returns undefined if no domain is refused. */
function describeRefused(domains: readonly string[]): string | undefined {
  if (domains.length === 0) return undefined
  return (
    'The exporter does not answer people in chat.allow whose domain is not a VirtualHost of this Prosody: ' +
    `${nameDomains(domains)}. Name accounts of this Prosody in chat.allow.`
  )
}

function nameDomains(domains: readonly string[]): string {
  const more = domains.length > MAX_NAMED ? ` and ${domains.length - MAX_NAMED} more` : ''
  return domains.slice(0, MAX_NAMED).join(', ') + more
}
