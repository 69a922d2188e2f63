import type { SummaryValues, ServerSummary } from './server-summary.js'

/** What is plotted: numbers of the moment, and rates since the reading before. */
export const TRACKS = [
  ...(['clients', 'serversIn', 'serversOut'] as const),
  ...(['messages', 'presences', 'iqs', 'logins', 'loginFailures'] as const),
  ...(['pingMs', 'lagMs'] as const),
] as const
export type Track = (typeof TRACKS)[number]

export type Point = { readonly atMs: number } & Partial<Record<Track, number>>

// Four hours, one each 15 s. With them a server costs us 45 KB, and so a thousand of them 45 MB.
const MAX_POINTS = 960
/** Collections that come sooner after a point than this share of the interval make none. */
const MIN_SPACING = 0.5
/** A collection that Prometheus causes at the same interval comes before ours, and ours is not made. */
const PATIENCE = 1.1
/** For the spacing, where we never ask. */
const UNASKED_INTERVAL_MS = 15_000

export type History = {
  /** The last one; `undefined` before the first. */
  latest(): ServerSummary | undefined
  /** Whether a reading of now makes a point: not so soon after the last, but for one that turns. */
  takes(isUp: boolean): boolean
  add(reading: ServerSummary): void
  /** Points that were added so far, forgotten ones too. */
  count(): number
  /** Those after the first `from`, oldest first. Default: all that are kept. */
  points(from?: number): Point[]
  /** Whether it is time for a collection that nobody else made. */
  isDue(): boolean
}

/**
 * The last hours of one server, for people without a Prometheus.
 *
 * @param intervalMs 0: points are only made of collections that others cause.
 */
export function createHistory({
  intervalMs,
  maxPoints = MAX_POINTS,
  now = () => performance.now(),
}: {
  readonly intervalMs: number
  readonly maxPoints?: number
  /** Monotonic milliseconds. */
  readonly now?: () => number
}): History {
  const times = new Float64Array(maxPoints)
  const values = new Float32Array(maxPoints * TRACKS.length)
  const spacingMs = (intervalMs || UNASKED_INTERVAL_MS) * MIN_SPACING
  let count = 0
  let latest: ServerSummary | undefined
  let addedAtMs = -Infinity
  let before: { readonly figures: SummaryValues; readonly atMs: number } | undefined

  return {
    latest: () => latest,
    count: () => count,
    isDue: () => intervalMs > 0 && now() - addedAtMs >= intervalMs * PATIENCE,

    takes: (isUp) => latest?.up !== isUp || now() - addedAtMs >= spacingMs,

    add(reading) {
      const atMs = (addedAtMs = now())
      latest = reading
      const point = pointOf(
        reading.figures,
        before && { ...before, seconds: (atMs - before.atMs) / 1000 },
      )
      // Across an outage there is no rate: nobody knows when it happened.
      before = reading.up ? { figures: reading.figures, atMs } : undefined
      const at = count++ % maxPoints
      times[at] = reading.atMs
      TRACKS.forEach((track, i) => {
        values[at * TRACKS.length + i] = (reading.up ? point[track] : undefined) ?? NaN
      })
    },

    points(from = 0) {
      const first = Math.max(from, count - maxPoints)
      return Array.from({ length: Math.max(count - first, 0) }, (_, i) => {
        const at = (first + i) % maxPoints
        const told = TRACKS.flatMap((track, column) => {
          const value = values[at * TRACKS.length + column]!
          return Number.isNaN(value) ? [] : [[track, value]]
        })
        return { atMs: times[at]!, ...(Object.fromEntries(told) as Partial<Record<Track, number>>) }
      })
    },
  }
}

function pointOf(
  now: SummaryValues,
  before: { readonly figures: SummaryValues; readonly seconds: number } | undefined,
): Partial<Record<Track, number | undefined>> {
  // A counter that fell began anew.
  const increase = (name: keyof SummaryValues) => {
    const [from, to] = [before?.figures[name], now[name]]
    return from === undefined || to === undefined || to < from ? undefined : to - from
  }
  const rate = (name: keyof SummaryValues, perSeconds: number) => {
    const by = increase(name)
    return by === undefined ? undefined : (by / before!.seconds) * perSeconds
  }
  const [lagSum, lagCount] = [increase('lagSum'), increase('lagCount')]
  return {
    clients: now.clients ?? now.users,
    serversIn: now.serversIn,
    serversOut: now.serversOut,
    messages: rate('messages', 1),
    presences: rate('presences', 1),
    iqs: rate('iqs', 1),
    logins: rate('logins', 60),
    loginFailures: rate('loginFailures', 60),
    pingMs: now.pingSeconds === undefined ? undefined : now.pingSeconds * 1000,
    lagMs: lagSum === undefined || !lagCount ? undefined : (lagSum / lagCount) * 1000,
  }
}

export type PolledServer = { readonly history: History; readonly collect: () => Promise<unknown> }

const TICK_MS = 500
/** The least time in which all of many servers are asked, so that they are not all at once. */
const SPREAD_TICKS = 20

/**
 * Collects from each server that nobody else asked for so long.
 *
 * @returns Ends it.
 */
export function pollServers(servers: () => readonly PolledServer[]): () => void {
  const collecting = new Set<History>()
  const tick = () => {
    const all = servers()
    const due = all.filter(({ history }) => history.isDue() && !collecting.has(history))
    for (const { history, collect } of due.slice(0, Math.ceil(all.length / SPREAD_TICKS))) {
      collecting.add(history)
      void collect().finally(() => collecting.delete(history))
    }
  }
  const timer = setInterval(tick, TICK_MS).unref()
  return () => {
    clearInterval(timer)
  }
}
