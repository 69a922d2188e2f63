import type { ServerSummary, SummaryValues } from './server-summary.js'

/** The values that the page plots. Counters are plotted as rates since the previous point. */
export const TRACKS = [
  ...(['clients', 'serversIn', 'serversOut'] as const),
  ...(['messages', 'presences', 'iqs', 'logins', 'loginFailures'] as const),
  ...(['pingMs', 'lagMs'] as const),
] as const
export type Track = (typeof TRACKS)[number]

export type Point = { readonly atMs: number } & Partial<Record<Track, number>>

// Four hours at one point per 15 s. They take 45 KB per server, so 45 MB for a thousand servers.
const MAX_POINTS = 960
/** The shortest time between two points, as a share of the interval. */
const MIN_SPACING = 0.5
/** A collection is due after this many intervals: a scrape at the same interval comes first and is used. */
const DUE_AFTER_INTERVALS = 1.1
/** The interval that sets the shortest time between two points if the exporter does not poll. */
const UNPOLLED_INTERVAL_MS = 15_000

export type History = {
  /** The last summary; `undefined` before the first one. */
  getLatest(): ServerSummary | undefined
  /** Whether to add a summary now: the last one is old enough, or `isUp` has changed. */
  shouldAdd(isUp: boolean): boolean
  add(summary: ServerSummary): void
  /** The number of points that were ever added, including those that were overwritten since. */
  countPoints(): number
  /** Returns the stored points, oldest first, without the first `from` of all that were ever added. Default: 0. */
  getPoints(from?: number): Point[]
  /** Whether the exporter should collect now, because no scrape has caused a collection for an interval. */
  isDue(): boolean
}

type TimedValues = { readonly values: SummaryValues; readonly atMs: number }

/**
 * Stores the last hours of one server in memory, so that the page has charts without a Prometheus server.
 *
 * @param options.intervalMs Milliseconds between two points. 0: the exporter does not poll; only scrapes add points.
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
  const spacingMs = (intervalMs || UNPOLLED_INTERVAL_MS) * MIN_SPACING
  let count = 0
  let latest: ServerSummary | undefined
  let addedAtMs = -Infinity
  let previous: TimedValues | undefined

  return {
    getLatest: () => latest,
    countPoints: () => count,
    isDue: () => intervalMs > 0 && now() - addedAtMs >= intervalMs * DUE_AFTER_INTERVALS,

    shouldAdd: (isUp) => latest?.isUp !== isUp || now() - addedAtMs >= spacingMs,

    add(summary) {
      const atMs = (addedAtMs = now())
      latest = summary
      const point = computePoint({ values: summary.values, atMs }, previous)
      // Rates are not computed across an outage, because the time of the increase is unknown.
      previous = summary.isUp ? { values: summary.values, atMs } : undefined
      const at = count++ % maxPoints
      times[at] = summary.atMs
      TRACKS.forEach((track, i) => {
        values[at * TRACKS.length + i] = (summary.isUp ? point[track] : undefined) ?? NaN
      })
    },

    getPoints(from = 0) {
      const first = Math.max(from, count - maxPoints)
      return Array.from({ length: Math.max(count - first, 0) }, (_, i) => {
        const at = (first + i) % maxPoints
        const known = TRACKS.flatMap((track, column) => {
          const value = values[at * TRACKS.length + column]!
          return Number.isNaN(value) ? [] : [[track, value]]
        })
        return {
          atMs: times[at]!,
          ...(Object.fromEntries(known) as Partial<Record<Track, number>>),
        }
      })
    },
  }
}

function computePoint(
  { values, atMs }: TimedValues,
  previous: TimedValues | undefined,
): Partial<Record<Track, number | undefined>> {
  // A counter that is lower than before was reset.
  const increase = (name: keyof SummaryValues) => {
    const [from, to] = [previous?.values[name], values[name]]
    return from === undefined || to === undefined || to < from ? undefined : to - from
  }
  const rate = (name: keyof SummaryValues, perSeconds: number) => {
    const by = increase(name)
    return by === undefined ? undefined : (by / ((atMs - previous!.atMs) / 1000)) * perSeconds
  }
  const [lagSum, lagCount] = [increase('lagSum'), increase('lagCount')]
  return {
    clients: values.clients ?? values.users,
    serversIn: values.serversIn,
    serversOut: values.serversOut,
    messages: rate('messages', 1),
    presences: rate('presences', 1),
    iqs: rate('iqs', 1),
    logins: rate('logins', 60),
    loginFailures: rate('loginFailures', 60),
    pingMs: values.pingSeconds === undefined ? undefined : values.pingSeconds * 1000,
    lagMs: lagSum === undefined || !lagCount ? undefined : (lagSum / lagCount) * 1000,
  }
}

export type PolledServer = { readonly history: History; readonly collect: () => Promise<unknown> }

const TICK_MS = 500
/** Polling of all servers is spread over at least this many ticks, so that they are not polled together. */
const SPREAD_TICKS = 20

/**
 * Polls each server whose history is due.
 *
 * @returns Stops the polling.
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
