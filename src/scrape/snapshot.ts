import { hasAnswered } from '../collectors/failure.js'
import { TimeoutError } from '../errors.js'
import { createExposition, type Exposition } from '../exposition/exposition.js'
import { findCollidingFamilies, countInvalidRows } from '../exposition/validity.js'
import type { Log } from '../log/log.js'
import { createProblemLog } from '../log/log-limit.js'
import { addCount } from '../metrics/counts.js'
import type { Family } from '../metrics/family.js'
import {
  createCollectorFamilies,
  isCollectorFamily,
  createServerFamilies,
  type CollectionTotals,
  type CollectorOutcome,
  type LinkState,
} from '../metrics/own-families.js'
import { limitSeries } from '../metrics/series-limit.js'
import type { CollectorOutput, CollectorResult } from './collector-result.js'
import { createRetainedOutputs } from './retained-outputs.js'

/** The immutable content of a response to a scrape: the series of one collection and the exporter's own metrics. */
export type Snapshot = {
  /** Whether the server answered. In the snapshot of one server, `xmpp_up` has this value. */
  readonly isUp: boolean
  readonly families: readonly Family[]
  readonly exposition: Exposition
  /** Returns `families` without the families of the collectors that are not in `names`. Starts no collection. */
  readonly filterByCollectors: (names: ReadonlySet<string>) => readonly Family[]
}

export type SnapshotOptions = {
  readonly link: () => LinkState
  /** Returns the metrics about this process, or none if the exporter monitors several servers. */
  readonly exporterFamilies: () => readonly Family[]
  /**
   * How many milliseconds the last series of each collector are served while the server does not answer. In this time,
   * `xmpp_up` is 0. Default: 0, because a gap in a chart is better than a false flat line.
   */
  readonly serveStaleForMs?: number
  readonly created: boolean
  /** Whether each sample from the server has a timestamp: the time at which its collection started. Default: false. */
  readonly timestamps?: boolean
  /** The limit on the number of series. Above this limit, whole families are omitted, the largest first. */
  readonly maxSeries: number
  readonly log: Log
  /** Returns the time in monotonic milliseconds. */
  readonly now?: () => number
}

/** A collector whose output is in a snapshot. */
type Source = {
  readonly name: string
  readonly output: CollectorOutput
  /** The families of this collector, without families that an earlier collector returned too. */
  readonly families: readonly Family[]
}

/** Builds snapshots from the results of the collectors of one server. Families are in the order of the collectors. */
export function createSnapshotBuilder(options: SnapshotOptions) {
  const { log, maxSeries, timestamps = false, now = () => performance.now() } = options
  const retained = createRetainedOutputs(options.serveStaleForMs ?? 0, now)
  const omissionLog = createOmissionLog(log, now)

  function build(allResults: readonly CollectorResult[], totals: CollectionTotals): Snapshot {
    const isUp = isServerUp(allResults)
    if (isUp) retained.forgetOtherStreams(options.link().connects)
    const results = isUp ? allResults : allResults.map(rejectCachedOutput)
    const sources = selectSources(results)
    const collected = sources.flatMap(({ families }) => families)
    const { remaining: served, omitted } = limitSeries(
      collected.filter((family) => !isReserved(family)),
      maxSeries,
    )
    // Families that are not rendered need no cached text.
    for (const { name, order, textCache } of collected) {
      if (order.length === 0 || omitted.has(name)) textCache?.clear()
    }
    for (const { output } of sources) {
      output.collected.omitted?.forEach((series, name) => {
        addCount(omitted, name, series)
      })
    }
    omissionLog.report([...omitted.keys()].join(' '), results)
    const endTimes = sources.map(({ output }) => output.endedAtSeconds)
    const collection = {
      up: isUp,
      endedAtSeconds: Math.min(Date.now() / 1000, ...endTimes),
      collectors: listOutcomes(results),
      invalid: countInvalidSeries(sources, served),
      omitted,
      series: served.reduce((sum, family) => sum + family.order.length, 0),
    }
    const families = [
      ...served,
      ...sources.flatMap(({ output }) => output.collected.exporterFamilies ?? []),
      ...createServerFamilies(collection, options.link(), totals),
      ...options.exporterFamilies(),
    ]
    return {
      isUp,
      families,
      exposition: createExposition(families, { created: options.created }),
      filterByCollectors: (names) =>
        filterFamilies(families, { sources, outcomes: collection.collectors, names }),
    }
  }

  /**
   * Whether the server answered at least one collector. An output that a collector took from its cache is no answer. If
   * all outputs are from caches, the state of the stream decides.
   */
  function isServerUp(results: readonly CollectorResult[]): boolean {
    const queried = results.filter(({ output }) => output?.collected.isFromCache !== true)
    return queried.length > 0
      ? queried.some(({ output, error }) => output !== undefined || hasAnswered(error))
      : results.length > 0 && options.link().connected
  }

  function selectSources(results: readonly CollectorResult[]): readonly Source[] {
    const names = new Set<string>()
    return results.flatMap((result) => {
      const output = retained.findOutput(result)
      if (!output) return []
      // Two collectors can return the same family, for example one from mod_adhoc_statistics and one from another
      // ad-hoc command. The family of the first collector is served.
      const families = output.collected.families.filter(({ name }) => !names.has(name))
      for (const { name } of families) names.add(name)
      return [{ name: result.name, output, families: addTimestamps(families, output) }]
    })
  }

  function addTimestamps(
    families: readonly Family[],
    { startedAtSeconds }: CollectorOutput,
  ): readonly Family[] {
    if (!timestamps) return families
    const timestampMs = Math.floor(startedAtSeconds * 1000)
    return families.map((family) => ({ ...family, timestampMs }))
  }

  return { build, isServerUp }
}

/**
 * Returns a failure instead of an output that a collector took from its cache. Use this function if the server did not
 * answer, because then the cache does not describe the server.
 */
function rejectCachedOutput(result: CollectorResult): CollectorResult {
  if (result.output?.collected.isFromCache !== true) return result
  const { name, isIdle, durationSeconds } = result
  return {
    name,
    isIdle: isIdle === true,
    durationSeconds,
    error: new TimeoutError('the server did not answer'),
  }
}

/**
 * Whether the name of a family is reserved for the exporter's own metrics. A family from the server with such a name is
 * omitted. Otherwise the exposition would contain two families with the same name.
 */
/** The names of the exporter's own metrics, which a server must not use. */
const RESERVED = /^(?:xmpp_up$|prosody_exporter_|xmpp_(?:endpoint|srv|domain_check|s2s_ping)_)/

function isReserved({ name }: Family): boolean {
  return RESERVED.test(name)
}

function listOutcomes(results: readonly CollectorResult[]): readonly CollectorOutcome[] {
  return results
    .filter(({ isIdle }) => isIdle !== true)
    .map(({ name, output, error, durationSeconds }) => ({
      name,
      success: output !== undefined && error === undefined,
      durationSeconds,
    }))
}

/**
 * Counts the invalid series of each family, by the name of the family.
 *
 * @param served The families from the server that the snapshot contains.
 */
function countInvalidSeries(
  sources: readonly Source[],
  served: readonly Family[],
): ReadonlyMap<string, number> {
  const invalid = new Map<string, number>()
  const add = (name: string, series: number) => {
    if (series > 0) addCount(invalid, name, series)
  }
  for (const { output, families } of sources) {
    output.collected.invalid.forEach((series, name) => {
      add(name, series)
    })
    for (const family of families) if (isReserved(family)) add(family.name, family.order.length)
  }
  const colliding = findCollidingFamilies(served, 'openmetrics')
  for (const family of served) {
    add(family.name, colliding.has(family) ? family.order.length : countInvalidRows(family))
  }
  return invalid
}

/** Returns the families of a snapshot without those of the collectors that are not in `names`. */
function filterFamilies(
  families: readonly Family[],
  {
    sources,
    outcomes,
    names,
  }: {
    readonly sources: readonly Source[]
    readonly outcomes: readonly CollectorOutcome[]
    readonly names: ReadonlySet<string>
  },
): readonly Family[] {
  const hidden = new Set<Family>()
  for (const source of sources) {
    if (names.has(source.name)) continue
    for (const family of source.families) hidden.add(family)
    for (const family of source.output.collected.exporterFamilies ?? []) hidden.add(family)
  }
  const shown = createCollectorFamilies(outcomes.filter(({ name }) => names.has(name)))
  const shownByName = new Map(shown.map((family) => [family.name, family]))
  return families.flatMap((family) => {
    if (hidden.has(family)) return []
    return isCollectorFamily(family) ? (shownByName.get(family.name) ?? []) : [family]
  })
}

/**
 * Logs when families are omitted because of the series limit, and when all families are served again, but not at each
 * scrape.
 */
function createOmissionLog(log: Log, now: () => number) {
  const problems = createProblemLog(log, now)
  return {
    /** @param names The names of the omitted families, separated by spaces. */
    report(names: string, results: readonly CollectorResult[]): void {
      if (names === '') {
        // If a collector failed, the large family may only be missing, so the problem may not be over.
        const isComplete = results.every(
          ({ output, error, isIdle }) => isIdle || (output && !error),
        )
        if (isComplete)
          problems.recovered(
            'the number of series is within limits.series again; no family is omitted',
            {},
          )
        return
      }
      const message =
        'the server has more series than limits.series; the largest families are omitted'
      const fields = { families: names }
      const problem = { kind: 'over', level: 'warn', message, fields, detail: names } as const
      if (!problems.problem(problem)) log.debug(message, fields)
    },
  }
}
