import { createProblemLog, type ProblemLog } from '../log/log-limit.js'
import type { Log } from '../log/log.js'
import { listProblems, type DomainCheck, type Problem } from './outside-check.js'

const MAX_LISTED = 5

/** Creates a log that has one line when the problems of a domain change. It has names and no addresses. */
export function createDomainLog(log: Log, now: () => number) {
  const logs = new Map<string, ProblemLog>()

  function getLog(domain: string): ProblemLog {
    const known = logs.get(domain) ?? createProblemLog(log, now)
    logs.set(domain, known)
    return known
  }

  return {
    report(check: DomainCheck): void {
      const { domain } = check
      const problems = listProblems(check)
      if (problems.length === 0) {
        getLog(domain).recovered(`no problems with ${domain} from outside any more`, {})
        return
      }
      const all = [...new Set(problems.map(formatProblem))].sort()
      getLog(domain).problem({
        kind: 'problems',
        level: 'warn',
        message: `problems with ${domain} from outside: ${formatList(all)}`,
        fields: {},
        detail: all.join(),
      })
    },
    /** Forgets all domains but these. */
    retain(domains: ReadonlySet<string>): void {
      for (const domain of logs.keys()) if (!domains.has(domain)) logs.delete(domain)
    },
  }
}

/** For example `connection_refused (xmpp-client xmpp.example.com:5222 ipv6)`. The detail can have an address. */
function formatProblem({ code, service, target, family }: Problem): string {
  const where = [service, target, family].filter((part) => part !== undefined).join(' ')
  return where === '' ? code : `${code} (${where})`
}

function formatList(texts: readonly string[]): string {
  const more = texts.length - MAX_LISTED
  return texts.slice(0, MAX_LISTED).join(', ') + (more > 0 ? ` and ${more} more` : '')
}
