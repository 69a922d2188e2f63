/** A history with up to years of computed values, for tests of the page. */

import type { History } from '../../src/history/history.js'
import { createRangeData, RANGES, type Outage } from '../../src/history/range.js'
import type { ServerSummary } from '../../src/history/server-summary.js'
import type { Span } from '../../src/history/span.js'
import { TRACKS, type Point } from '../../src/history/tracks.js'
import { createRandom, type Random } from './random.js'

const DAY_MS = 24 * 3_600_000
/** The durations of the spans from which the values of a range are merged, as in a history file. */
const SPANS_MS = [5 * 60_000, 60 * 60_000]

/** About how large the values of each track are. */
const SCALES: Readonly<Record<(typeof TRACKS)[number], number>> = {
  ...{ clients: 1200, serversIn: 80, serversOut: 95, occupants: 420, rooms: 61, accounts: 5210 },
  ...{ messages: 14, presences: 31, iqs: 48, logins: 9, loginFailures: 2, registrations: 3 },
  ...{ pingMs: 3, lagMs: 0.6, memoryBytes: 180e6, cpuShare: 0.13, openFds: 1500 },
  ...{ unauthenticated: 4 },
}

/**
 * Creates a history whose values vary by day.
 *
 * @param summary The latest summary of the server.
 * @param options.knownMs For how long the history has values.
 * @param options.outages The outages. The history has no values during them.
 */
export function createFakeHistory(
  summary: ServerSummary,
  options: {
    readonly nowMs: number
    readonly knownMs: number
    readonly outages?: readonly Outage[]
    readonly random?: Random
  },
): History & { readonly reads: string[] } {
  const { nowMs, knownMs, random = createRandom(1), outages = [] } = options
  const startMs = nowMs - knownMs
  const reads: string[] = []
  const createValue = (track: (typeof TRACKS)[number], atMs: number) => {
    const daily = Math.sin((atMs / DAY_MS) * 2 * Math.PI)
    return SCALES[track] * (1 + 0.35 * daily + 0.2 * (random.below(1e6) / 1e6))
  }

  function createSpan(fromMs: number, spanMs: number): Span | undefined {
    const overlap = (state: Outage['state']) =>
      outages
        .filter((outage) => outage.state === state)
        .map(({ fromMs: from, toMs }) => Math.min(fromMs + spanMs, toMs) - Math.max(fromMs, from))
        .reduce((sum, ms) => sum + Math.max(ms, 0), 0)
    const [downMs, unknownMs] = [overlap('down'), overlap('unknown')]
    const upMs = spanMs - downMs - unknownMs
    if (unknownMs >= spanMs) return undefined
    const values = TRACKS.flatMap((track) => {
      const average = createValue(track, fromMs)
      const spread = (average * random.below(1e6)) / 3e6
      return upMs > 0 ? [average, average - spread, average + spread] : [NaN, NaN, NaN]
    })
    return { fromMs, upMs, downMs, values: new Float32Array(values) }
  }

  const lastValues = TRACKS.map((track) => [track, createValue(track, nowMs)] as const)
  const lastPoint: Point = { atMs: nowMs, isUp: true, ...Object.fromEntries(lastValues) }
  return {
    reads,
    maxGapMs: 30_000,
    getLatest: () => summary,
    shouldAdd: () => false,
    add: () => undefined,
    countPoints: () => 1,
    getPoints: (from = 0) => (from > 0 ? [] : [lastPoint]),
    listRanges: () => RANGES,
    getMemoryGrowth: () => undefined,
    flush: () => Promise.resolve(),
    isDue: () => false,
    readRange(range) {
      reads.push(range.id)
      const spanMs = SPANS_MS.findLast((ms) => ms < range.stepMs) ?? range.stepMs
      const firstMs = Math.ceil(Math.max(startMs, nowMs - range.durationMs) / spanMs) * spanMs
      const count = Math.max(0, Math.floor((nowMs - firstMs) / spanMs))
      const spans = Array.from({ length: count }, (_, i) =>
        createSpan(firstMs + i * spanMs, spanMs),
      )
      const known = spans.filter((span) => span !== undefined)
      const limits = { nowMs, startMs, spanMs, maxGapMs: 30_000 }
      return Promise.resolve(createRangeData(range, known, limits))
    },
  }
}
