import {
  computeMemoryGrowth,
  findMemoryBase,
  type MemoryBase,
  type MemoryGrowth,
} from './memory-growth.js'
import { createRangeData, RANGES, type Range, type RangeData } from './range.js'
import type { ServerSummary, SummaryValues } from './server-summary.js'
import { toSpans } from './span.js'
import {
  fromTrackValues,
  selectUntil,
  toTrackValues,
  TRACKS,
  type Point,
  type Track,
} from './tracks.js'

// At one point per 15 s, 960 points are four hours. They take 81 KB per server, so 81 MB for a thousand servers.
const MAX_POINTS = 960
/** The shortest time between two points, as a share of the polling interval, or of 15 s if that is shorter. */
const MIN_SPACING = 0.5
/**
 * The exporter polls a server after 1.1 intervals without a point. If Prometheus scrapes at the same interval, its
 * scrapes come first and add the points, so the exporter does not poll.
 */
const DUE_AFTER_INTERVALS = 1.1
/**
 * If the exporter polls less often or not at all, this interval determines the shortest time between two points. So the
 * page is as new as the scrapes.
 */
const USUAL_INTERVAL_MS = 15_000
/** After this number of intervals without a point, the exporter was not running. */
const GAP_INTERVALS = 4
/** The stored points can be from a time with a longer interval. */
const MIN_GAP_MS = 60_000
/** With no polling, only scrapes add points, and their interval is unknown. */
const UNPOLLED_GAP_MS = 5 * 60_000
/** Rates are over the points of this time: a minute, and a tenth more, because scrapes are not exact to the second. */
const RATE_WINDOW_MS = 66_000
/** The base of the growth of memory is searched again after this number of points, because that takes 2 ms. */
const BASE_POINTS = 20
/** The ranges for which the points in memory suffice. */
const MEMORY_RANGES = RANGES.filter(({ id }) => id === '1h' || id === '4h')

/**
 * A history with a file has the points of this time in memory. It is twice the time after which they are stored.
 */
const UNSTORED_MS = 2 * 5 * 60_000

/** Returns the number of points that a history with a file needs in memory. */
export function countUnstoredPoints(intervalMs: number): number {
  return Math.ceil(UNSTORED_MS / getSpacingMs(intervalMs))
}

const getSpacingMs = (intervalMs: number) =>
  Math.min(intervalMs || USUAL_INTERVAL_MS, USUAL_INTERVAL_MS) * MIN_SPACING

export type History = {
  /** Returns the last summary that was added; `undefined` before the first summary. */
  getLatest(): ServerSummary | undefined
  /**
   * Whether a new summary should be added now: the last summary is old enough, or it is of another stream, or `isUp` has
   * changed since.
   */
  shouldAdd(next: Pick<ServerSummary, 'isUp' | 'connects'>): boolean
  add(summary: ServerSummary): void
  /** A longer time between two points means that the exporter was not running. */
  readonly maxGapMs: number
  /** Returns the number of points that were added since the start, including points that newer points overwrote. */
  countPoints(): number
  /**
   * Returns the stored points, the oldest first.
   *
   * @param from The number of the first point to return. Points are numbered from 0 since the start. Default: 0.
   */
  getPoints(from?: number): Point[]
  /** Returns the ranges that `readRange` can read, the shortest first. */
  listRanges(): readonly Range[]
  /** Returns the values of a range until now. */
  readRange(range: Range): Promise<RangeData>
  /**
   * Returns how the resident memory of the server changed in the last 24 hours; `undefined` if the history of this run
   * of the server is shorter than an hour. The first hour of a run is not considered, because its caches fill then.
   */
  getMemoryGrowth(): MemoryGrowth | undefined
  /**
   * Stores the new points in the history file, if there is one. Call this function every 5 minutes, and before the end.
   * Never rejects.
   */
  flush(): Promise<void>
  /** Whether the exporter should poll the server now, because no scrape has added a point for more than an interval. */
  isDue(): boolean
}

type FoundBase = {
  readonly base: MemoryBase | undefined
  readonly startedAtMs: number | undefined
  readonly count: number
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
  const values = new Float32Array(maxPoints * COLUMNS)
  const spacingMs = getSpacingMs(intervalMs)
  const maxGapMs =
    intervalMs > 0 ? Math.max(intervalMs * GAP_INTERVALS, MIN_GAP_MS) : UNPOLLED_GAP_MS
  const computePoint = createRates()
  let count = 0
  let latest: ServerSummary | undefined
  let addedAtMs = -Infinity
  let found: FoundBase | undefined

  function getPoints(from = 0): Point[] {
    const first = Math.max(from, count - maxPoints)
    return Array.from({ length: Math.max(count - first, 0) }, (_, i) => {
      const at = (first + i) % maxPoints
      return fromColumns(times[at]!, values.subarray(at * COLUMNS, (at + 1) * COLUMNS))
    })
  }

  return {
    maxGapMs,
    getLatest: () => latest,
    countPoints: () => count,
    isDue: () => intervalMs > 0 && now() - addedAtMs >= intervalMs * DUE_AFTER_INTERVALS,

    shouldAdd: ({ isUp, connects }) =>
      latest?.isUp !== isUp || latest.connects !== connects || now() - addedAtMs >= spacingMs,

    add(summary) {
      addedAtMs = now()
      latest = summary
      const at = count++ % maxPoints
      times[at] = summary.atMs
      values.set(toColumns(computePoint(summary, addedAtMs)), at * COLUMNS)
    },

    getPoints,
    listRanges: () => MEMORY_RANGES,

    readRange(range) {
      const nowMs = Date.now()
      const points = selectUntil(getPoints(), nowMs)
      const startMs = points[0]?.atMs ?? Infinity
      const data = createRangeData(range, toSpans(points, maxGapMs), { nowMs, startMs, maxGapMs })
      return Promise.resolve(data)
    },

    getMemoryGrowth() {
      if (!latest) return undefined
      const { startedAtMs } = latest
      if (!found || found.startedAtMs !== startedAtMs || count - found.count >= BASE_POINTS) {
        const base = findMemoryBase(toSpans(getPoints(), maxGapMs), startedAtMs)
        found = { base, startedAtMs, count }
      }
      return computeMemoryGrowth(found.base, latest)
    },
    flush: () => Promise.resolve(),
  }
}

/** The number of columns of a point: the tracks, and whether the server answered. */
const COLUMNS = TRACKS.length + 1

function toColumns(point: Point): number[] {
  return [Number(point.isUp), ...toTrackValues(point)]
}

function fromColumns(atMs: number, columns: Float32Array): Point {
  return { atMs, isUp: columns[0] === 1, ...fromTrackValues(columns.subarray(1)) }
}

/** Returns a function that computes the point of a summary. It computes rates over about a minute. */
function createRates() {
  /** The values of the last minute, the newest first. */
  let window: readonly TimedValues[] = []
  return ({ isUp, atMs, values }: ServerSummary, addedAtMs: number): Point => {
    // A rate across an outage would be wrong, because the time at which the counter increased is unknown.
    if (!isUp) {
      window = []
      return { atMs, isUp }
    }
    const isRecent = (old: TimedValues, index: number) =>
      index === 0 || addedAtMs - old.atMs < RATE_WINDOW_MS
    const recent = window.filter(isRecent)
    const tracks = computeTracks({ values, atMs: addedAtMs }, recent)
    window = [{ values, atMs: addedAtMs }, ...recent]
    const known = Object.entries(tracks).filter(([, value]) => value !== undefined)
    return { atMs, isUp, ...(Object.fromEntries(known) as Partial<Point>) }
  }
}

function computeTracks(
  { values, atMs }: TimedValues,
  window: readonly TimedValues[],
): Partial<Record<Track, number | undefined>> {
  /**
   * Returns by how much a counter increased, and in how many seconds. If a counter is lower than at the point before, it
   * was reset, and its increase is unknown.
   */
  const increase = (name: keyof SummaryValues) => {
    let base: TimedValues | undefined
    let newer = values[name] ?? -Infinity
    for (const old of window) {
      const value = old.values[name] ?? Infinity
      if (value > newer) break
      base = old
      newer = value
    }
    if (!base) return undefined
    return { by: values[name]! - base.values[name]!, seconds: (atMs - base.atMs) / 1000 }
  }
  const rate = (name: keyof SummaryValues, perSeconds: number) => {
    const increased = increase(name)
    return increased && (increased.by / increased.seconds) * perSeconds
  }
  const [lagSum, lagCount] = [increase('lagSum'), increase('lagCount')]
  return {
    clients: values.clients ?? values.users,
    serversIn: values.serversIn,
    serversOut: values.serversOut,
    occupants: values.occupants,
    rooms: values.rooms,
    accounts: values.accounts,
    messages: rate('messages', 1),
    presences: rate('presences', 1),
    iqs: rate('iqs', 1),
    logins: rate('logins', 60),
    loginFailures: rate('loginFailures', 60),
    registrations: rate('registrations', 3600),
    pingMs: values.pingSeconds === undefined ? undefined : values.pingSeconds * 1000,
    lagMs: lagSum && lagCount && lagCount.by > 0 ? (lagSum.by / lagCount.by) * 1000 : undefined,
    memoryBytes: values.memoryBytes,
    cpuShare: rate('cpuSeconds', 1),
    openFds: values.openFds,
    unauthenticated: values.unauthenticated,
  }
}
