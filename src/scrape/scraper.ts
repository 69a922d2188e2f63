import type { Collector } from '../collectors/collector.js'
import { TimeoutError } from '../errors.js'
import type { Family } from '../metrics/family.js'
import type { CollectorResult } from './collector-result.js'
import { createCollectorRunner } from './collector-runner.js'
import { createFailureLog } from './failure-log.js'
import { settleWithin } from './settle-within.js'
import { createSnapshotCache } from './snapshot-cache.js'
import { createSnapshotBuilder, type Snapshot, type SnapshotOptions } from './snapshot.js'

export type { Snapshot } from './snapshot.js'

export type Scraper = {
  /** The names of the collectors, which all run in each collection. */
  readonly collectors: readonly string[]
  /**
   * Returns the cached snapshot, unless it has expired, the stream has gone up or down since, or a collection is
   * running.
   */
  findCached(): Snapshot | undefined
  /**
   * Resolves to the cached snapshot, or to the snapshot of a new or running collection. After `waitMs` milliseconds, it
   * resolves to a snapshot of the collectors that have ended. Never rejects.
   */
  readonly scrape: (waitMs: number) => Promise<Snapshot>
  /** Does the same as `scrape`, but never returns the cached snapshot. */
  collectNow(waitMs: number): Promise<Snapshot>
  /** Waits for the end of the running collection. If no collection is running, starts one. */
  refresh(): Promise<Snapshot>
  /** Resolves to the results of a collection that starts after this call. */
  collectNext(): Promise<readonly CollectorResult[]>
  /** Whether at least one collector has succeeded since the start. */
  hasSucceeded(): boolean
  /** Whether the server answered during the last collection; `undefined` before the first collection has ended. */
  wasUp(): boolean | undefined
}

export type ScraperOptions = SnapshotOptions & {
  readonly collectors: readonly Collector[]
  /** How many milliseconds after the start of its collection a snapshot may still be served. */
  readonly minAgeMs: number
  /** The time within which each collector has to end, in milliseconds. */
  readonly timeoutMs: number
  /** Called at the end of each collection. */
  readonly onCollection?: (collection: Collection) => void
}

/** A collection that has ended. */
export type Collection = {
  /** Whether the server answered during the collection. */
  readonly isUp: boolean
  readonly families: readonly Family[]
  readonly results: readonly CollectorResult[]
}

// `minAgeMs` can be minutes. A snapshot in which a collector failed is served for at most five seconds.
const MAX_FAILED_AGE_MS = 5000

type RunningCollection = {
  readonly promise: Promise<Snapshot>
  readonly startedAt: number
  /** The results of the collectors that have ended, by the name of the collector. */
  readonly results: Map<string, CollectorResult>
  /** The last snapshot of this collection before its end, and the number of results in this snapshot. */
  partial?: { readonly snapshot: Snapshot; readonly resultCount: number }
}

/** Collects the statistics of one server. At most one collection runs at a time; concurrent scrapes share it. */
export function createScraper(options: ScraperOptions): Scraper {
  const { collectors, minAgeMs, log, now = () => performance.now() } = options
  const names = collectors.map(({ name }) => name)
  const runner = createCollectorRunner(options.timeoutMs, now)
  const failures = createFailureLog(names, log, now)
  const snapshots = createSnapshotBuilder(options)
  const cache = createSnapshotCache(() => options.link().connected, now)
  let collections = 0
  let hasSucceeded = false
  let wasUp: boolean | undefined
  let running: RunningCollection | undefined

  function startCollection(): RunningCollection {
    const startedAt = now()
    const results = new Map<string, CollectorResult>()
    const promise = collect(startedAt, results).finally(() => {
      running = undefined
    })
    return (running = { promise, startedAt, results })
  }

  async function collect(
    startedAt: number,
    resultsSoFar: Map<string, CollectorResult>,
  ): Promise<Snapshot> {
    const results = await runner.runAll(collectors, resultsSoFar)
    collections++
    const isUp = (wasUp = snapshots.isServerUp(results))
    failures.report(results, isUp)
    const snapshot = snapshots.build(results, { collections, failures: failures.counts })
    hasSucceeded ||= isUp && results.some(({ error }) => error === undefined)
    const hasFailed = results.some(({ error }) => error !== undefined)
    cache.store(
      snapshot,
      startedAt + (hasFailed ? Math.min(minAgeMs, MAX_FAILED_AGE_MS) : minAgeMs),
    )
    options.onCollection?.({ isUp, families: snapshot.families, results })
    return snapshot
  }

  /** Returns a snapshot of the collectors that have ended, for a scrape that cannot wait for the whole collection. */
  function buildPartialSnapshot(collection: RunningCollection): Snapshot {
    const { results, startedAt, partial } = collection
    if (partial?.resultCount === results.size) return partial.snapshot
    const error = new TimeoutError('the scrape timed out before the collector ended')
    const durationSeconds = (now() - startedAt) / 1000
    const snapshot = snapshots.build(
      names.map(
        (name) =>
          results.get(name) ?? { name, error, isIdle: runner.isIdle(name), durationSeconds },
      ),
      { collections, failures: failures.counts },
    )
    collection.partial = { snapshot, resultCount: results.size }
    return snapshot
  }

  function collectNow(waitMs: number): Promise<Snapshot> {
    const collection = running ?? startCollection()
    return settleWithin(waitMs, collection.promise, () => buildPartialSnapshot(collection))
  }

  const findCached = () => (running ? undefined : cache.find())

  return {
    collectors: names,
    findCached,
    scrape(waitMs) {
      const snapshot = findCached()
      return snapshot ? Promise.resolve(snapshot) : collectNow(waitMs)
    },
    collectNow,
    refresh: () => (running ?? startCollection()).promise,
    async collectNext() {
      await running?.promise
      // Since the end of the running collection, a scrape may have started the next collection.
      const next = running ?? startCollection()
      await next.promise
      return [...next.results.values()]
    },
    hasSucceeded: () => hasSucceeded,
    wasUp: () => wasUp,
  }
}
