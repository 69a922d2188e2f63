import type { Log } from '../log/log.js'
import { createProblemLog } from '../log/log-limit.js'
import { explain, explainRepeatedEvictions } from './advice.js'
import { kindOf, type StreamEnd } from './stream-end.js'

export type LinkStatusOptions = {
  readonly service: string
  readonly domain: string
  readonly secret: string
  readonly log: Log
  /** Returns the time in monotonic milliseconds. */
  readonly now: () => number
}

// Two exporters of one component evict each other about every two minutes, see backoff.ts. So this time contains at
// least two evictions.
const EVICTIONS_MEMORY_MS = 300_000

/**
 * Tracks whether the exporter is connected to the server, since when, and why not. Logs the changes, but not equal
 * problems again and again.
 */
export function createLinkStatus({ service, domain, secret, log, now }: LinkStatusOptions) {
  const problems = createProblemLog(log, now)
  let connects = 0
  let onlineAtMs: number | undefined
  let lostAtMs: number | undefined
  let problem: string | undefined
  let lastEvictionMs = -Infinity
  let evictionBeforeMs = -Infinity

  return {
    connects: () => connects,
    problem: () => problem,
    recentConflict: () =>
      now() - evictionBeforeMs < EVICTIONS_MEMORY_MS ? explainRepeatedEvictions(domain) : undefined,

    online(): void {
      onlineAtMs = now()
      connects++
      const away = lostAtMs === undefined ? {} : { away_seconds: toSeconds(onlineAtMs - lostAtMs) }
      const message = `connected to Prosody as ${domain}`
      if (problem === undefined) log.info(message, { service })
      else problems.recovered(message, { service, ...away })
      problem = undefined
    },

    /** @returns How many milliseconds the ended stream was online; undefined if its login did not succeed. */
    ended(end: StreamEnd): number | undefined {
      const onlineMs = onlineAtMs === undefined ? undefined : now() - onlineAtMs
      const wasOnline = onlineMs !== undefined
      if (wasOnline) lostAtMs = now()
      onlineAtMs = undefined
      const hasConnected = connects > 0
      problem = explain(end, { service, domain, secret, wasOnline, hasConnected })
      const { kind, condition } = end
      if (wasOnline && condition === 'conflict') {
        evictionBeforeMs = lastEvictionMs
        lastEvictionMs = now()
      }
      const fields = { service, reason: kind, ...(condition && { condition }) }
      const isWritten = problems.problem({
        kind: kindOf(end, wasOnline),
        level: wasOnline ? 'warn' : 'error',
        message: wasOnline ? `Disconnected. ${problem}` : problem,
        fields,
        detail: problem,
      })
      if (!isWritten) log.debug('still no stream', { ...fields, problem })
      return onlineMs
    },
  }
}

function toSeconds(ms: number): number {
  return Math.round(ms / 100) / 10
}
