/** A history with up to years of computed values, for tests of the page. */

import type { History } from '../../src/history/history.js'
import { createRangeData, RANGES, type Outage } from '../../src/history/range.js'
import type { ServerSummary } from '../../src/history/server-summary.js'
import type { Span } from '../../src/history/span.js'
import { TRACKS, type Point } from '../../src/history/tracks.js'

const MINUTE_MS = 60_000

/** About how large the values of each track are. */
const SCALES: Readonly<Record<(typeof TRACKS)[number], number>> = {
  ...{ clients: 1200, serversIn: 80, serversOut: 95, occupants: 420, rooms: 61, accounts: 5210 },
  ...{ messages: 14, presences: 31, iqs: 48, logins: 9, loginFailures: 2, registrations: 3 },
  ...{ pingMs: 3, lagMs: 0.6, memoryBytes: 180e6, cpuShare: 0.13, openFds: 1500 },
  ...{ unauthenticated: 4 },
}

/**
 * @param summary The latest summary of the server.
 * @param options.knownMs For how long the history has values.
 * @param options.outages The outages. The history has no values during them.
 * @param options.noise A pseudo-random function.
 */
export function createSyntheticHistory(
  summary: ServerSummary,
  options: {
    readonly nowMs: number
    readonly knownMs: number
    readonly outages?: readonly Outage[]
    readonly noise: () => number
  },
): History & { readonly reads: string[] } {
  const { nowMs, knownMs, outages = [], noise } = options
  const startMs = nowMs - knownMs
  const reads: string[] = []

  function createSpan(fromMs: number, spanMs: number): Span | undefined {
    const toMs = fromMs + spanMs
    const overlapping = (state: Outage['state']) =>
      outages
        .filter((outage) => outage.state === state)
        .map((outage) => Math.min(toMs, outage.toMs) - Math.max(fromMs, outage.fromMs))
        .reduce((sum, ms) => sum + Math.max(ms, 0), 0)
    const [downMs, unknownMs] = [overlapping('down'), overlapping('unknown')]
    const upMs = spanMs - downMs - unknownMs
    if (unknownMs >= spanMs) return undefined
    const values = TRACKS.map((track) => {
      const day = Math.sin((fromMs / (24 * 60 * MINUTE_MS)) * 2 * Math.PI)
      const average = SCALES[track] * (1 + 0.35 * day + 0.2 * noise())
      const spread = average * 0.3 * noise()
      return [track, { average, minimum: average - spread, maximum: average + spread }] as const
    })
    return { fromMs, upMs, downMs, values: upMs > 0 ? Object.fromEntries(values) : {} }
  }

  const lastPoint: Point = { atMs: nowMs, isUp: true, clients: 1234, memoryBytes: 181_234_567 }
  return {
    reads,
    getLatest: () => summary,
    shouldAdd: () => false,
    add: () => undefined,
    countPoints: () => 1,
    getPoints: (from = 0) => (from > 0 ? [] : [lastPoint]),
    listRanges: () => RANGES,
    getMemoryGrowth: () => undefined,
    isDue: () => false,
    readRange(range) {
      reads.push(range.id)
      const spanMs = Math.min(range.stepMs, 5 * MINUTE_MS)
      const firstMs = Math.ceil(Math.max(startMs, nowMs - range.durationMs) / spanMs) * spanMs
      const count = Math.max(0, Math.floor((nowMs - firstMs) / spanMs))
      const spans = Array.from({ length: count }, (_, i) => createSpan(firstMs + i * spanMs, spanMs))
      const known = spans.filter((span) => span !== undefined)
      const maxGapMs = 30_000
      return Promise.resolve(createRangeData(range, known, { nowMs, startMs, maxGapMs, spanMs }))
    },
  }
}
