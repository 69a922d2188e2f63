import { PASSING_REASONS, reasonOf, type Reason } from '../collectors/failure.js'
import { getErrorMessage } from '../errors.js'
import type { Log } from '../log/log.js'
import { createProblemLog } from '../log/log-limit.js'
import { addCount } from '../metrics/counts.js'
import type { CollectorResult } from './collector-result.js'

/**
 * Counts the failures of the collectors by reason. Logs the beginning and the end of each failure, and not each scrape.
 * Failures because of a lost stream are logged only at the level debug.
 */
export function createFailureLog(names: readonly string[], log: Log, now: () => number) {
  const counts = new Map<string, number>(PASSING_REASONS.map((reason) => [reason, 0]))
  const problems = new Map(names.map((name) => [name, createProblemLog(log, now)] as const))
  // If the server does not answer, all collectors time out. The log has one line about this outage, and not one line
  // per collector.
  let isOutageLogged = false

  function report(results: readonly CollectorResult[], isUp: boolean): void {
    if (isUp) isOutageLogged = false
    const counted = new Set<Reason>()
    for (const { name, error } of results) {
      if (error === undefined) {
        if (isUp) problems.get(name)!.recovered('collector recovered', { collector: name })
        continue
      }
      const reason = reasonOf(error)
      const isOutage = !isUp && reason === 'timeout'
      // A lost stream or a silent server is one failure, however many collectors it affects.
      const isShared = isOutage || reason === 'link'
      if (!isShared || !counted.has(reason)) addCount(counts, reason, 1)
      counted.add(reason)
      const isLogged = logFailure(name, reason, error, isOutage && isOutageLogged)
      if (isOutage && isLogged) isOutageLogged = true
    }
  }

  /**
   * Logs a failure. The level is debug if `isQuiet` is true or if the failure was already logged at a higher level.
   *
   * @returns Whether the failure was logged above the level debug.
   */
  function logFailure(
    collector: string,
    reason: Reason,
    error: unknown,
    isQuiet: boolean,
  ): boolean {
    const text = getErrorMessage(error)
    const message = 'collector failed'
    const fields = { collector, reason, error: text }
    // The module xmpp/connection.ts logs why the stream is down, so this failure is not reported to `problems`.
    // Otherwise an older problem that still exists after the reconnection would be logged again.
    if (isQuiet || reason === 'link') {
      log.debug(message, fields)
      return false
    }
    // The text of a time-out contains a duration, which can differ each time. With an empty detail, it is logged once.
    const detail = reason === 'timeout' ? '' : text
    const problem = { kind: reason, level: 'warn', message, fields, detail } as const
    const isLogged = problems.get(collector)!.problem(problem)
    if (!isLogged) log.debug(message, fields)
    return isLogged
  }

  return {
    report,
    /** The number of failures since this log was created, by reason. */
    counts: counts as ReadonlyMap<string, number>,
  }
}
