import type { ServerSummary, SummaryValues } from './server-summary.js'

/** The names of the values that the status page plots. For counters, it plots the rate since the previous point. */
export const TRACKS = [
  ...(['clients', 'serversIn', 'serversOut'] as const),
  ...(['messages', 'presences', 'iqs', 'logins', 'loginFailures'] as const),
  ...(['pingMs', 'lagMs'] as const),
] as const
export type Track = (typeof TRACKS)[number]

export type Point = { readonly atMs: number } & Partial<Record<Track, number>>

// At one point per 15 s, 960 points are four hours. They take 45 KB per server, so 45 MB for a thousand servers.
const MAX_POINTS = 960
/** The shortest time between two points, as a share of the polling interval. */
const MIN_SPACING = 0.5
/**
 * The exporter polls a server after 1.1 intervals without a point. If Prometheus scrapes at the same interval, its
 * scrapes come first and add the points, so the exporter does not poll.
 */
const DUE_AFTER_INTERVALS = 1.1
/** If the exporter does not poll, this interval determines the shortest time between two points. */
const UNPOLLED_INTERVAL_MS = 15_000

export type History = {
  /** Returns the last summary that was added; `undefined` before the first summary. */
  getLatest(): ServerSummary | undefined
  /**
   * Whether a new summary should be added now: the last summary is old enough, or it is of another stream, or `isUp` has
   * changed since.
   */
  shouldAdd(next: Pick<ServerSummary, 'isUp' | 'connects'>): boolean
  add(summary: ServerSummary): void
  /** Returns the number of points that were added since the start, including points that newer points overwrote. */
  countPoints(): number
  /**
   * Returns the stored points, the oldest first.
   *
   * @param from The number of the first point to return. Points are numbered from 0 since the start. Default: 0.
   */
  getPoints(from?: number): Point[]
  /** Whether the exporter should poll the server now, because no scrape has added a point for more than an interval. */
  isDue(): boolean
}

type TimedValues = { readonly values: SummaryValues; readonly atMs: number }

/**
 * Stores values of one server of the last hours in memory, so that the status page has charts without a Prometheus
 * server.
 *
 * @param options.intervalMs The polling interval in milliseconds. With 0, the exporter does not poll, and only scrapes
 *   add points.
 */
export function createHistory({
  intervalMs,
  maxPoints = MAX_POINTS,
  now = () => performance.now(),
}: {
  readonly intervalMs: number
  readonly maxPoints?: number
  /** Returns the time in monotonic milliseconds. */
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

    shouldAdd: ({ isUp, connects }) =>
      latest?.isUp !== isUp || latest.connects !== connects || now() - addedAtMs >= spacingMs,

    add(summary) {
      const atMs = (addedAtMs = now())
      latest = summary
      const point = computePoint({ values: summary.values, atMs }, previous)
      // A rate across an outage would be wrong, because the time at which the counter increased is unknown.
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
  // If a counter is lower than at the previous point, it was reset, and its increase is unknown.
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
/** In one tick, the exporter starts to poll at most a twentieth of the servers, so that not all are polled together. */
const SPREAD_TICKS = 20

/**
 * Polls each server to whose history no scrape has added a point for more than an interval.
 *
 * @returns A function that stops the polling.
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
