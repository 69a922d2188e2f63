import type { Collector } from '../collectors/collector.js'
import { hasAnswered, PASSING_REASONS, reasonOf, type Reason } from '../collectors/failure.js'
import { TimeoutError } from '../errors.js'
import { createProblemLog } from '../log/log-limit.js'
import { addCount } from '../metrics/counts.js'
import type { Family } from '../metrics/family.js'
import {
  createSnapshots,
  type CollectorResult,
  type Snapshot,
  type SnapshotOptions,
} from './snapshot.js'

export type { Snapshot } from './snapshot.js'

export type Scraper = {
  /** Names of all that are asked. */
  readonly collectors: readonly string[]
  /** The snapshot that a scrape gets without waiting, if there is one. */
  current(): Snapshot | undefined
  /** Resolves a snapshot, at the latest after `waitMs`, and never rejects. */
  readonly scrape: (waitMs: number) => Promise<Snapshot>
  /** As `scrape`, whatever the age of the last snapshot. */
  collectNow(waitMs: number): Promise<Snapshot>
  /** Collects now, whatever the age of the last snapshot. */
  refresh(): Promise<Snapshot>
  /** What each collector comes to in the next collection, which begins now or after the one under way. */
  nextResults(): Promise<readonly CollectorResult[]>
  /** Whether a collection has succeeded. */
  hasSucceeded(): boolean
  /** Whether the server answered the last collection; `undefined` before the first. */
  wasUp(): boolean | undefined
}

export type ScraperOptions = SnapshotOptions & {
  readonly collectors: readonly Collector[]
  /** A snapshot whose collection started less than this ago is served as it is. Milliseconds. */
  readonly minAgeMs: number
  /** The longest that a collection may take. Milliseconds. */
  readonly timeoutMs: number
  /** Told of each collection as it ends. */
  readonly onCollection?: (collection: Collection) => void
}

export type Collection = {
  readonly up: boolean
  readonly families: readonly Family[]
  readonly results: readonly CollectorResult[]
}

// With timestamps a snapshot may be served for minutes, but a failure must not last that long.
const MAX_FAILED_AGE_MS = 5000

type Running = {
  readonly promise: Promise<Snapshot>
  readonly startedAt: number
  /** Of the collectors that have ended. */
  readonly results: Map<string, CollectorResult>
  late?: { readonly snapshot: Snapshot; readonly results: number }
}

type Kept = {
  readonly snapshot: Snapshot
  readonly until: number
  readonly connected: boolean
}

export function createScraper(options: ScraperOptions): Scraper {
  const { collectors, log, now = () => performance.now() } = options
  const snapshots = createSnapshots(options)
  const failures = new Map<string, number>(PASSING_REASONS.map((reason) => [reason, 0]))
  const problems = new Map(
    collectors.map(({ name }) => [name, createProblemLog(log, now)] as const),
  )
  // A server that hangs is one problem, however many collectors wait for it.
  let isHangLogged = false
  // Collectors that found nobody to ask when the server last answered.
  const idle = new Set<string>()
  let collections = 0
  let succeeded = false
  let up: boolean | undefined
  let last: Kept | undefined
  let release: NodeJS.Timeout | undefined
  let running: Running | undefined

  function start(): Running {
    const startedAt = now()
    const results = new Map<string, CollectorResult>()
    const promise = collect(startedAt, results).finally(() => {
      running = undefined
    })
    return (running = { promise, startedAt, results })
  }

  async function collect(
    startedAt: number,
    soFar: Map<string, CollectorResult>,
  ): Promise<Snapshot> {
    const results = await Promise.all(
      collectors.map(async (collector) => {
        const result = await run(collector)
        soFar.set(collector.name, result)
        return result
      }),
    )
    collections++
    up = snapshots.isUp(results)
    report(results, up)
    const snapshot = snapshots.make(results, { collections, failures })
    if (up) succeeded ||= results.some(({ error }) => error === undefined)
    const failed = results.some(({ error }) => error !== undefined)
    const ageMs = failed ? Math.min(options.minAgeMs, MAX_FAILED_AGE_MS) : options.minAgeMs
    keep(snapshot, startedAt + ageMs)
    options.onCollection?.({ up, families: snapshot.families, results })
    return snapshot
  }

  /** Serves it until then, and no longer holds it: of a thousand servers few have a fresh one. */
  function keep(snapshot: Snapshot, until: number): void {
    last = { snapshot, until, connected: options.link().connected }
    // Its timer held the one before, however many were collected meanwhile.
    clearTimeout(release)
    // A collection can take longer than that. Node 26 writes a warning about negative delays.
    const leftMs = Math.max(0, until - now())
    release = setTimeout(() => {
      last = undefined
    }, leftMs).unref()
  }

  async function run(collector: Collector): Promise<CollectorResult> {
    const { name } = collector
    const startedAt = now()
    const askedAtSeconds = Date.now() / 1000
    const durationSeconds = () => (now() - startedAt) / 1000
    try {
      // The collector has the same deadline; this one is for a collector that forgets it, because
      // nothing may hold the slot for ever.
      const collected = await within(
        options.timeoutMs + 1000,
        collector.collect({ timeoutMs: options.timeoutMs }),
        () => {
          throw new TimeoutError(`collector ${name} did not end in ${options.timeoutMs} ms`)
        },
      )
      const { failure: error, isIdle = false } = collected
      if (isIdle) idle.add(name)
      else idle.delete(name)
      const told = { collected, askedAtSeconds, atSeconds: Date.now() / 1000, atMs: now() }
      return { name, told, error, isIdle, durationSeconds: durationSeconds() }
    } catch (error) {
      // A server that does not answer offers what it offered before.
      if (hasAnswered(error)) idle.delete(name)
      return { name, error, isIdle: idle.has(name), durationSeconds: durationSeconds() }
    }
  }

  function report(results: readonly CollectorResult[], isUp: boolean): void {
    if (isUp) isHangLogged = false
    const counted = new Set<Reason>()
    for (const { name, error } of results) {
      if (error === undefined) {
        if (!isUp) continue
        problems.get(name)!.recovered('collector recovered', { collector: name })
        continue
      }
      const reason = reasonOf(error)
      // A lost link is one failure, and so is a server that hangs, however many collectors it stops.
      const isShared = reason === 'link' || (!isUp && reason === 'timeout')
      if (!isShared || !counted.has(reason)) addCount(failures, reason, 1)
      counted.add(reason)
      const isHang = !isUp && reason === 'timeout'
      const isLogged = logOnce(name, reason, error, isHang && isHangLogged)
      if (isHang && isLogged) isHangLogged = true
    }
  }

  /** The link says for itself why it is down, and what was wrong before may be so after it. */
  function logOnce(collector: string, reason: Reason, error: unknown, isQuiet: boolean): boolean {
    const text = error instanceof Error ? error.message : String(error)
    const message = 'collector failed'
    const fields = { collector, reason, error: text }
    if (isQuiet || reason === 'link') {
      log.debug(message, fields)
      return false
    }
    // How long a time-out was differs from one to the next.
    const detail = reason === 'timeout' ? '' : text
    const problem = { kind: reason, level: 'warn', message, fields, detail } as const
    const isLogged = problems.get(collector)!.problem(problem)
    if (!isLogged) log.debug(message, fields)
    return isLogged
  }

  /** For who could not wait any longer: what was told until now, and the collection goes on. */
  function lateSnapshot(joined: Running): Snapshot {
    const { results, startedAt, late } = joined
    if (late?.results === results.size) return late.snapshot
    const error = new TimeoutError('the scrape ended before the collection')
    const durationSeconds = (now() - startedAt) / 1000
    const snapshot = snapshots.make(
      collectors.map(
        ({ name }) => results.get(name) ?? { name, error, isIdle: idle.has(name), durationSeconds },
      ),
      { collections, failures },
    )
    joined.late = { snapshot, results: results.size }
    return snapshot
  }

  function collectNow(waitMs: number): Promise<Snapshot> {
    const joined = running ?? start()
    return within(waitMs, joined.promise, () => lateSnapshot(joined))
  }

  function current(): Snapshot | undefined {
    if (running || !last || now() >= last.until) return undefined
    // Of minutes ago, it would tell that a server is up which is known to be gone.
    return last.connected === options.link().connected ? last.snapshot : undefined
  }

  return {
    collectors: collectors.map(({ name }) => name),
    current,
    scrape(waitMs) {
      const snapshot = current()
      return snapshot ? Promise.resolve(snapshot) : collectNow(waitMs)
    },
    collectNow,
    refresh: () => (running ?? start()).promise,
    async nextResults() {
      await running?.promise
      // By now a scrape may have begun it.
      const next = running ?? start()
      await next.promise
      return [...next.results.values()]
    },
    hasSucceeded: () => succeeded,
    wasUp: () => up,
  }
}

/** As the promise does, or what `otherwise` gives after so many milliseconds; leaves no timer. */
async function within<T>(ms: number, promise: Promise<T>, otherwise: () => T): Promise<T> {
  let timer: NodeJS.Timeout | undefined
  const time = new Promise<void>((resolve) => {
    timer = setTimeout(resolve, ms)
  })
  try {
    return await Promise.race([promise, time.then(otherwise)])
  } finally {
    clearTimeout(timer)
  }
}
