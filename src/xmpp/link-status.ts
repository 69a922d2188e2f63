import type { Log } from '../log/log.js'
import { createProblemLog } from '../log/log-limit.js'
import { explain } from './advice.js'
import { kindOf, type StreamEnd } from './stream-end.js'

// How long an eviction is remembered.
const EVICTION_MEMORY_MS = 300_000
// Two exporters of one component evict each other at least once in two minutes, with the pauses in backoff.ts. So after
// this time without an eviction, the conflict is over.
const CONFLICT_END_MS = 150_000
const MAX_EVICTIONS = 10

export type LinkStatusOptions = {
  readonly service: string
  readonly domain: string
  readonly secret: string
  readonly log: Log
  /** Returns the time in monotonic milliseconds. */
  readonly now: () => number
}

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
  let lastEnd: StreamEnd | undefined
  let evictedAtMs: number[] = []

  return {
    connects: () => connects,

    /**
     * Returns how often another program took the place of the exporter in the last five minutes; 0 if it has not done so
     * for two and a half minutes.
     */
    evictions: () => {
      const sinceMs = evictedAtMs.map((ms) => now() - ms)
      if ((sinceMs.at(-1) ?? Infinity) > CONFLICT_END_MS) return 0
      return sinceMs.filter((ms) => ms < EVICTION_MEMORY_MS).length
    },

    problem: () => problem,
    lastEnd: () => lastEnd,

    online: (): void => {
      onlineAtMs = now()
      connects++
      const away = lostAtMs === undefined ? {} : { away_seconds: toSeconds(onlineAtMs - lostAtMs) }
      const message = `connected to Prosody as ${domain}`
      if (problem === undefined) log.info(message, { service })
      else problems.recovered(message, { service, ...away })
      problem = undefined
      lastEnd = undefined
    },

    /** @returns How many milliseconds the ended stream was online; undefined if its login did not succeed. */
    ended: (end: StreamEnd): number | undefined => {
      const onlineMs = onlineAtMs === undefined ? undefined : now() - onlineAtMs
      const wasOnline = onlineMs !== undefined
      if (wasOnline) lostAtMs = now()
      if (wasOnline && end.condition === 'conflict') {
        evictedAtMs = [...evictedAtMs.slice(1 - MAX_EVICTIONS), now()]
      }
      onlineAtMs = undefined
      const hasConnected = connects > 0
      lastEnd = end
      problem = explain(end, { service, domain, secret, wasOnline, hasConnected })
      const { kind, condition } = end
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
