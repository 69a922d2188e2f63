import type { Collected, Collector } from './collectors/collector.js'
import { hasAnswered, REASONS, reasonOf, type Reason } from './collectors/failure.js'
import { TimeoutError } from './errors.js'
import type { Log } from './log.js'
import { createExposition, type Exposition } from './metrics/exposition.js'
import type { Family } from './metrics/family.js'
import {
  selfFamilies,
  type CollectorFigures,
  type LinkFigures,
  type ProcessFigures,
} from './metrics/self.js'
import { limitSeries } from './metrics/limit.js'
import { forget } from './metrics/memo.js'
import { collisions, invalidRows } from './metrics/validity.js'

/** What one response is made of: all of one moment, our own metrics included, and never changed. */
export type Snapshot = {
  readonly families: readonly Family[]
  readonly exposition: Exposition
}

export type Scraper = {
  /** The snapshot that a scrape gets without waiting, if there is one. */
  current(): Snapshot | undefined
  /** Resolves a snapshot, at the latest after `waitMs`, and never rejects. */
  scrape(waitMs: number): Promise<Snapshot>
  /** Collects now, whatever the age of the last snapshot. */
  refresh(): Promise<Snapshot>
  /** Whether a collection has succeeded. */
  hasSucceeded(): boolean
}

export type ScraperOptions = {
  readonly version: string
  readonly collectors: readonly Collector[]
  readonly link: () => LinkFigures
  readonly processFigures: () => ProcessFigures
  /** A snapshot whose collection started less than this ago is served as it is. Milliseconds. */
  readonly minAgeMs: number
  /** The longest that a collection may take. Milliseconds. */
  readonly timeoutMs: number
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

/** What a collector last told, and when it was asked and had answered. */
type Told = {
  readonly collected: Collected
  readonly atMs: number
  readonly askedAtSeconds: number
  readonly atSeconds: number
}
// With timestamps a snapshot may be served for minutes, but a failure must not last that long.
const MAX_FAILED_AGE_MS = 5000

type Running = { readonly promise: Promise<Snapshot>; late: Snapshot | undefined }
type Result = {
  readonly name: string
  readonly told?: Told
  readonly error?: unknown
  readonly durationSeconds: number
}

export function createScraper(options: ScraperOptions): Scraper {
  const { collectors, log, serveStaleForMs = 0, now = () => performance.now() } = options
  const lastTold = new Map<string, Told>()
  const failures = new Map<string, number>(REASONS.map((reason) => [reason, 0]))
  const lastFailure = new Map<string, string>()
  let collections = 0
  let succeeded = false
  let leftOutNames = ''
  let last: { readonly snapshot: Snapshot; readonly until: number } | undefined
  let running: Running | undefined

  function start(): Running {
    const promise = collect(now()).finally(() => {
      running = undefined
    })
    return (running = { promise, late: undefined })
  }

  async function collect(startedAt: number): Promise<Snapshot> {
    const results = await Promise.all(collectors.map(run))
    collections++
    const snapshot = makeSnapshot(results)
    const failed = results.some(({ error }) => error !== undefined)
    const ageMs = failed ? Math.min(options.minAgeMs, MAX_FAILED_AGE_MS) : options.minAgeMs
    last = { snapshot, until: startedAt + ageMs }
    return snapshot
  }

  async function run(collector: Collector): Promise<Result> {
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
      if (lastFailure.delete(name)) log.info('collector works again', { collector: name })
      succeeded = true
      const told = { collected, askedAtSeconds, atSeconds: Date.now() / 1000, atMs: now() }
      return { name, told, durationSeconds: durationSeconds() }
    } catch (error) {
      const reason = reasonOf(error)
      failures.set(reason, failures.get(reason)! + 1)
      logOnce(name, reason, error)
      return { name, error, durationSeconds: durationSeconds() }
    }
  }

  /** One line when a collector begins to fail or fails otherwise, not one a scrape. */
  function logOnce(collector: string, reason: Reason, error: unknown): void {
    const message = error instanceof Error ? error.message : String(error)
    // How long a time-out was differs from one to the next.
    const failure = reason === 'timeout' ? reason : message
    // The link says for itself why it is down, and what was wrong before may be so after it.
    const isNew = reason !== 'link' && lastFailure.get(collector) !== failure
    if (isNew) lastFailure.set(collector, failure)
    log[isNew ? 'warn' : 'debug']('collector failed', { collector, reason, error: message })
  }

  function logLeftOut(names: string): void {
    if (names !== leftOutNames && names !== '') {
      log.warn('over limits.series: families left out', { families: names })
    }
    leftOutNames = names
  }

  function makeSnapshot(results: readonly Result[]): Snapshot {
    const told = results.flatMap((result) => toldBy(result) ?? [])
    const server = told.flatMap((each) => familiesOf(each))
    const { kept, leftOut } = limitSeries(server.filter(isNotOurs), options.maxSeries)
    for (const family of server) if (leftOut.has(family.name)) forget(family)
    if (server.length > 0) logLeftOut([...leftOut.keys()].join(' '))
    const invalid = new Map<string, number>()
    const count = (name: string, rows: number) => {
      if (rows > 0) invalid.set(name, (invalid.get(name) ?? 0) + rows)
    }
    for (const { collected } of told) {
      collected.invalid.forEach((rows, name) => {
        count(name, rows)
      })
    }
    for (const family of server) if (!isNotOurs(family)) count(family.name, family.order.length)
    const colliding = collisions(kept)
    for (const family of kept) {
      count(family.name, colliding.has(family) ? family.order.length : invalidRows(family))
    }
    const up = results.some(({ error }) => hasAnswered(error))
    const figures = selfFamilies(
      options.version,
      {
        up,
        endedAtSeconds: Math.min(Date.now() / 1000, ...told.map(({ atSeconds }) => atSeconds)),
        collectors: results.map(({ name, told, durationSeconds }): CollectorFigures => ({
          name,
          success: told !== undefined,
          durationSeconds,
        })),
        invalid,
        leftOut,
        series: kept.reduce((sum, family) => sum + family.order.length, 0),
      },
      options.link(),
      { collections, failures },
      options.processFigures(),
    )
    const about = told.flatMap(({ collected }) => collected.about ?? [])
    const families = [...kept, ...about, ...figures]
    return { families, exposition: createExposition(families, { created: options.created }) }
  }

  function familiesOf({ collected: { families }, askedAtSeconds }: Told): readonly Family[] {
    if (options.timestamps !== true) return families
    const timestampMs = Math.floor(askedAtSeconds * 1000)
    return families.map((family) => ({ ...family, timestampMs }))
  }

  /** What to show of a collector: what it told now or, if that was asked for, not long ago. */
  function toldBy({ name, told, error }: Result): Told | undefined {
    if (told) {
      if (serveStaleForMs > 0) lastTold.set(name, told)
      return told
    }
    const before = lastTold.get(name)
    // A server that answers something else has nothing to do with what it said before.
    if (!before || hasAnswered(error) || now() - before.atMs > serveStaleForMs) return undefined
    return before
  }

  /** For who could not wait any longer: the server has not answered, and the collection goes on. */
  function lateSnapshot(): Snapshot {
    const error = new TimeoutError('the scrape ended before the collection')
    return makeSnapshot(collectors.map(({ name }) => ({ name, error, durationSeconds: 0 })))
  }

  function current(): Snapshot | undefined {
    return !running && last && now() < last.until ? last.snapshot : undefined
  }

  return {
    current,
    scrape(waitMs) {
      const snapshot = current()
      if (snapshot) return Promise.resolve(snapshot)
      const joined = running ?? start()
      return within(waitMs, joined.promise, () => (joined.late ??= lateSnapshot()))
    },
    refresh: () => (running ?? start()).promise,
    hasSucceeded: () => succeeded,
  }
}

/** A server's family by a name of ours would make two of one: ours is the one that is true. */
function isNotOurs({ name }: Family): boolean {
  return name !== 'xmpp_up' && !name.startsWith('prosody_exporter_')
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
