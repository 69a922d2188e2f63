import type { Collected } from '../collectors/collector.js'
import { hasAnswered } from '../collectors/failure.js'
import { TimeoutError } from '../errors.js'
import type { Log } from '../log/log.js'
import { createProblemLog } from '../log/log-limit.js'
import { addCount } from '../metrics/counts.js'
import { createExposition, type Exposition } from '../exposition/exposition.js'
import type { Family } from '../metrics/family.js'
import { limitSeries } from '../metrics/series-limit.js'
import {
  collectorFamilies,
  isCollectorFamily,
  serverFamilies,
  type CollectorOutcome,
  type LinkState,
  type CollectionTotals,
} from '../metrics/own-families.js'
import { collidingFamilies, countInvalidRows } from '../exposition/validity.js'

/** What one response is made of: all of one moment, our own metrics included, and never changed. */
export type Snapshot = {
  /** Whether the server answered, as `xmpp_up` says. */
  readonly up: boolean
  readonly families: readonly Family[]
  readonly exposition: Exposition
  /** The same of these collectors alone: what was collected is cut, nothing is asked again. */
  readonly ofCollectors: (names: ReadonlySet<string>) => readonly Family[]
}

/** What a collector last told, and when it was asked and had answered. */
export type CollectorOutput = {
  readonly collected: Collected
  readonly atMs: number
  readonly askedAtSeconds: number
  readonly atSeconds: number
}

/** What became of a collector's turn. */
export type CollectorResult = {
  readonly name: string
  readonly told?: CollectorOutput
  /** Why nothing or not all was told. */
  readonly error?: unknown
  /** It found nobody to ask, now or when the server last answered: nothing is exported of it. */
  readonly isIdle?: boolean
  readonly durationSeconds: number
}

export type SnapshotOptions = {
  readonly link: () => LinkState
  /** About this process; added to each snapshot. */
  readonly own: () => readonly Family[]
  /**
   * For how long after the last success a collector's series are served on when the server does not
   * answer, with `xmpp_up` 0. Default: 0, never: a gap is better than a false flat line. Milliseconds.
   */
  readonly serveStaleForMs?: number
  readonly created: boolean
  /** Gives each of the server's samples the time at which its collection began. Default: false. */
  readonly timestamps?: boolean
  /** Over this many series whole families are left out, the largest first. */
  readonly maxSeries: number
  readonly log: Log
  /** Monotonic milliseconds. */
  readonly now?: () => number
}

/** Makes snapshots of what the collectors of one server told, in the order of the collectors. */
export function createSnapshots(options: SnapshotOptions) {
  const { log, serveStaleForMs = 0, now = () => performance.now() } = options
  const lastTold = new Map<string, CollectorOutput>()
  // Of the stream on which they were told.
  let connects: number | undefined
  const limitProblem = createProblemLog(log, now)

  function make(all: readonly CollectorResult[], totals: CollectionTotals): Snapshot {
    const up = isUp(all)
    if (up) forgetOtherLives()
    // Of a server that does not answer nothing is true, and nothing is told from memory.
    const results = up ? all : all.map(withoutKept)
    const toldByName = results.flatMap((result) => {
      const told = toldBy(result)
      return told ? [{ name: result.name, told }] : []
    })
    const told = toldByName.map((each) => each.told)
    const sources = firstOfEachName(told.map((each) => familiesOf(each)))
    const server = sources.flat()
    const { remaining, omitted } = limitSeries(server.filter(isNotOurs), options.maxSeries)
    for (const { collected } of told) {
      collected.omitted?.forEach((series, name) => {
        addCount(omitted, name, series)
      })
    }
    logLeftOut([...omitted.keys()].join(' '), results)
    const invalid = new Map<string, number>()
    const count = (name: string, rows: number) => {
      if (rows > 0) addCount(invalid, name, rows)
    }
    for (const { collected } of told) {
      collected.invalid.forEach((rows, name) => {
        count(name, rows)
      })
    }
    for (const family of server) if (!isNotOurs(family)) count(family.name, family.order.length)
    const colliding = collidingFamilies(remaining, 'openmetrics')
    for (const family of remaining) {
      count(family.name, colliding.has(family) ? family.order.length : countInvalidRows(family))
    }
    const collection = {
      up,
      endedAtSeconds: Math.min(Date.now() / 1000, ...told.map(({ atSeconds }) => atSeconds)),
      collectors: results
        .filter(({ isIdle }) => isIdle !== true)
        .map(({ name, told, error, durationSeconds }): CollectorOutcome => ({
          name,
          success: told !== undefined && error === undefined,
          durationSeconds,
        })),
      invalid,
      omitted,
      series: remaining.reduce((sum, family) => sum + family.order.length, 0),
    }
    const own = [...serverFamilies(collection, options.link(), totals), ...options.own()]
    const exporterFamilies = told.flatMap(({ collected }) => collected.exporterFamilies ?? [])
    const families = [...remaining, ...exporterFamilies, ...own]
    return {
      up,
      families,
      exposition: createExposition(families, { created: options.created }),
      ofCollectors(names) {
        const hidden = new Set<Family>()
        toldByName.forEach(({ name, told }, i) => {
          if (names.has(name)) return
          for (const family of [...sources[i]!, ...(told.collected.exporterFamilies ?? [])])
            hidden.add(family)
        })
        const collectors = collection.collectors.filter(({ name }) => names.has(name))
        const shown = new Map(collectorFamilies(collectors).map((family) => [family.name, family]))
        return families.flatMap((family) => {
          if (hidden.has(family)) return []
          return isCollectorFamily(family) ? (shown.get(family.name) ?? []) : [family]
        })
      },
    }
  }

  /** Whether the server answered anything; what was kept in memory shows nothing of it. */
  function isUp(results: readonly CollectorResult[]): boolean {
    const shown = results.filter(({ told }) => told?.collected.isFromCache !== true)
    return shown.length > 0
      ? shown.some(({ told, error }) => told !== undefined || hasAnswered(error))
      : results.length > 0 && options.link().connected
  }

  function familiesOf({
    collected: { families },
    askedAtSeconds,
  }: CollectorOutput): readonly Family[] {
    if (options.timestamps !== true) return families
    const timestampMs = Math.floor(askedAtSeconds * 1000)
    return families.map((family) => ({ ...family, timestampMs }))
  }

  /** What to show of a collector: what it told now or, if that was asked for, not long ago. */
  function toldBy({ name, told, error }: CollectorResult): CollectorOutput | undefined {
    if (told) {
      if (serveStaleForMs > 0) lastTold.set(name, told)
      return told
    }
    const before = lastTold.get(name)
    // A server that answers something else has nothing to do with what it said before.
    if (!before || hasAnswered(error) || now() - before.atMs > serveStaleForMs) return undefined
    return before
  }

  /** What was told on another stream may be of another life of the server: the two don't mix. */
  function forgetOtherLives(): void {
    const now = options.link().connects
    if (now !== connects) lastTold.clear()
    connects = now
  }

  function logLeftOut(names: string, results: readonly CollectorResult[]): void {
    if (names === '') {
      // The family that was omitted may only be missing.
      const isWhole = results.every(({ told, error, isIdle }) => isIdle || (told && !error))
      if (isWhole) limitProblem.recovered('within limits.series: no family is omitted', {})
      return
    }
    const message = 'over limits.series: families omitted'
    const fields = { families: names }
    const problem = { kind: 'over', level: 'warn', message, fields, detail: names } as const
    if (!limitProblem.problem(problem)) log.debug(message, fields)
  }

  return { make, isUp }
}

function withoutKept(result: CollectorResult): CollectorResult {
  if (result.told?.collected.isFromCache !== true) return result
  const { name, isIdle, durationSeconds } = result
  return {
    name,
    isIdle: isIdle === true,
    durationSeconds,
    error: new TimeoutError('the server did not answer'),
  }
}

/** A server's family by a name of ours would make two of one: ours is the one that is true. */
function isNotOurs({ name }: Family): boolean {
  return name !== 'xmpp_up' && !name.startsWith('prosody_exporter_')
}

/**
 * Two sources may tell the same, e.g. the module and a command: that of the one which is listed first
 * is served.
 */
function firstOfEachName(sources: readonly (readonly Family[])[]): readonly (readonly Family[])[] {
  const names = new Set<string>()
  return sources.map((families) => {
    const firsts = families.filter(({ name }) => !names.has(name))
    for (const { name } of firsts) names.add(name)
    return firsts
  })
}
