import { askVirtualHosts } from '../collectors/served-hosts.js'
import { getErrorMessage, LinkError } from '../errors.js'
import type { Log } from '../log/log.js'
import { getDomain } from '../xmpp/jid.js'
import type { MessagingClient } from './messaging-client.js'

/** How many domains a log line names. */
const MAX_NAMED = 10

export type ChatAccess = {
  /** Asks Prosody whether the exporter may serve this person now. Never rejects. */
  readonly isAllowed: (person: string) => Promise<boolean>
  /** Logs which domains in `chat.allow` the exporter does not serve. Call this function after each login and reload. */
  readonly check: () => void
}

/**
 * Determines which of the people in `chat.allow` the exporter serves: those of a VirtualHost of this Prosody. Only
 * these accounts are authenticated by this Prosody. Any other domain is another server, or a component, and its
 * operator could send in the name of any of its users. mod_adhoc_statistics reports which domains are VirtualHosts, so
 * the exporter sends no request to another server. It asks for each stanza of a person again, because an administrator
 * can deactivate a host while Prosody runs. After that, Prosody would accept another server with this domain.
 */
export function createChatAccess(options: {
  readonly allow: () => readonly string[]
  readonly client: Pick<MessagingClient, 'isConnected' | 'request'>
  readonly log: Log
}): ChatAccess {
  const { allow, client, log } = options
  /**
   * The domains that the exporter is asking about. Stanzas that arrive before the answer can share it: the stream is in
   * order, so Prosody creates the answer after it has sent these stanzas.
   */
  const running = new Map<string, Promise<ReadonlySet<string> | undefined>>()
  const logFailure = createChangeLog(log)
  const logRefused = createChangeLog(log)

  /** Returns those of the domains that are VirtualHosts; `undefined` if this is unknown. */
  async function findVirtualHosts(domains: readonly string[]) {
    try {
      const found = await askVirtualHosts(client, domains)
      logFailure(found ? undefined : NOT_REPORTED)
      return found
    } catch (error) {
      // The connection itself logs that its stream was lost.
      if (!(error instanceof LinkError)) logFailure(describeFailure(error))
      return undefined
    }
  }

  function findShared(domain: string) {
    const found =
      running.get(domain) ?? findVirtualHosts([domain]).finally(() => running.delete(domain))
    running.set(domain, found)
    return found
  }

  async function logUnserved(): Promise<void> {
    const domains = [...new Set(allow().map(getDomain))]
    const found = await findVirtualHosts(domains)
    if (found) logRefused(describeRefused(domains.filter((domain) => !found.has(domain))))
  }

  return {
    async isAllowed(person) {
      const domain = getDomain(person)
      const found = await findShared(domain)
      return found?.has(domain) === true && allow().includes(person)
    },
    check() {
      // A reload can select another server.
      running.clear()
      if (client.isConnected()) void logUnserved()
    },
  }
}

/** Returns a function that logs a problem, but not the same one several times in succession. */
function createChangeLog(log: Log): (problem: string | undefined) => void {
  let last: string | undefined
  return (problem) => {
    if (problem !== undefined && problem !== last) log.warn(problem)
    last = problem
  }
}

const NOT_REPORTED =
  'Nobody in chat.allow gets answers, because this Prosody does not report which domains are its VirtualHosts. ' +
  'Load mod_adhoc_statistics for the component, in the version of this exporter.'

const describeFailure = (error: unknown) =>
  `People in chat.allow get no answers now, because the check of their domains failed: ${getErrorMessage(error)}. ` +
  'The exporter checks a domain again for each question.'

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
