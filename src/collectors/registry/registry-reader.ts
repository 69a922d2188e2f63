import { DecodeError, TimeoutError } from '../../errors.js'
import type { Connection } from '../../xmpp/connection.js'
import { createTooSlowError } from './registry-advice.js'
import { countMismatches } from './registry-audit.js'
import { advanceCursors, formatSince, INITIAL_CURSORS, type Cursors } from './registry-cursors.js'
import type { RegistryFilter } from './registry-filter.js'
import { createRegistryTables, type RegistryTables } from './registry-lines.js'
import type { Naming } from './registry-names.js'
import { requestPage, type PageRequest, type RegistryPage } from './registry-page.js'

// Prosody serves no other client while it builds a page of the registry. So after the first 4 pages of an update, the
// reader pauses before each further page. A pause is as long as the previous page took, but at most 20 ms.
const PAGES_WITHOUT_PAUSE = 4
const MAX_PAUSE_MS = 20

// An update starts again if the ids of the series become invalid during it, that is, if the epoch of the registry
// changes. The update fails after 4 attempts.
const MAX_ATTEMPTS = 4

/**
 * The cache of Prosody's registry. It is valid for one epoch, which is the time in which the ids of the series stay
 * valid. The epoch changes when Prosody restarts or a module replaces a family. Then the exporter discards the cache.
 */
export type RegistryCache = {
  readonly epoch: string
  readonly tables: RegistryTables
  /** Gives the configured names to the families. If it is undefined, the families have the names of their tables. */
  readonly naming: Naming | undefined
  cursors: Cursors
  /** The id of the first series that the next audit compares. */
  auditFrom: number
  /**
   * The time when Prosody last collected its statistics, in seconds since 1970. NaN if Prosody has not collected yet.
   */
  updatedSeconds: number
}

export type ReaderOptions = {
  readonly filter: RegistryFilter | undefined
  /** Creates the naming for a new epoch. If it is undefined, the families have the names of their tables. */
  readonly createNaming: (() => Naming) | undefined
  readonly clock: Clock
}

type Clock = {
  /** Returns monotonic milliseconds. */
  readonly now: () => number
  readonly pause: (ms: number) => Promise<void>
}

/** Creates a reader that caches Prosody's registry. Each `deadline` is a time of `clock.now`. */
export function createRegistryReader(
  connection: Pick<Connection, 'request'>,
  options: ReaderOptions,
) {
  const { filter, clock } = options
  let cache: RegistryCache | undefined

  function request(range: Omit<PageRequest, 'epoch'>, deadline: number): Promise<RegistryPage> {
    const epoch = cache?.epoch
    return requestPage(connection, { epoch, ...range }, Math.max(deadline - clock.now(), 1))
  }

  function requestChanges(first: number, deadline: number): Promise<RegistryPage> {
    return request(
      { first, since: formatSince(cache?.cursors ?? INITIAL_CURSORS, first) },
      deadline,
    )
  }

  /** Reads all changes since the previous update. @returns `undefined` if the epoch changed during this update. */
  async function tryUpdate(deadline: number): Promise<RegistryCache | undefined> {
    const paced = createPacedRequests((first) => requestChanges(first, deadline), deadline, clock)
    let first = 1
    let nextPage = paced.request(first)
    for (;;) {
      const page = await nextPage
      if (page.epoch !== cache?.epoch) {
        cache = undefined
        // A page of a new epoch can be used only if it starts at id 1. Otherwise the series before it are missing.
        if (first > 1) return undefined
        cache = createCache(page.epoch, options)
      }
      if (first === 1) cache.updatedSeconds = page.updatedSeconds
      const isLast = page.last >= page.size
      if (!isLast) {
        // The next page is requested before `page` is decoded, so that Prosody builds it in the meantime.
        nextPage = paced.request(page.last + 1)
        nextPage.catch(() => {})
      }
      applyPage(cache, first, page)
      if (isLast) return cache
      first = page.last + 1
    }
  }

  return {
    /**
     * Reads all changes since the previous update, and returns the updated cache. If the epoch changes during the
     * update, the update starts again, so that the cache never mixes two epochs.
     */
    async update(deadline: number): Promise<RegistryCache> {
      for (let attempt = 1; ; attempt++) {
        const updated = await tryUpdate(deadline)
        if (updated) return updated
        if (attempt === MAX_ATTEMPTS) {
          throw new DecodeError(
            'statistics',
            'one epoch for all pages',
            `a change of the epoch in each of ${MAX_ATTEMPTS} attempts`,
          )
        }
        await clock.pause(0)
      }
    },

    /**
     * Requests one page with the values of all its series, and compares it with the cache. The next call audits the
     * next page. So in the course of time, the audits check that the exporter has not missed any change of the
     * registry.
     *
     * @returns The number of series whose cached value differs.
     */
    async audit(deadline: number): Promise<number> {
      const audited = cache
      if (!audited) return 0
      const first = audited.auditFrom
      const full = await request({ first, since: '0' }, deadline)
      if (full.epoch !== audited.epoch) return 0
      const range = { first, last: full.last, since: formatSince(audited.cursors, first) }
      const changes = await request(range, deadline)
      if (changes.epoch !== audited.epoch) return 0
      applyPage(audited, first, changes)
      audited.auditFrom = changes.last >= changes.size ? 1 : changes.last + 1
      return countMismatches(audited.tables, first, full, changes, filter)
    },

    /** Discards the cache, so that the next update reads the whole registry. */
    reset(): void {
      cache = undefined
    },
  }
}

function createCache(epoch: string, { filter, createNaming }: ReaderOptions): RegistryCache {
  return {
    epoch,
    tables: createRegistryTables(filter),
    naming: createNaming?.(),
    cursors: INITIAL_CURSORS,
    auditFrom: 1,
    updatedSeconds: NaN,
  }
}

/** Creates a function that requests the pages of one update one after the other, with pauses between them. */
function createPacedRequests(
  requestPageFrom: (first: number) => Promise<RegistryPage>,
  deadline: number,
  { now, pause }: Clock,
) {
  let pages = 0
  let requestedAt = now()
  // In the second half of the time for the update, there are no more pauses, so that the update can still succeed.
  const pauseUntil = (requestedAt + deadline) / 2

  return {
    /** Requests the page that starts at the id `first`. Call this function only after the previous page has arrived. */
    async request(first: number): Promise<RegistryPage> {
      const answeredAt = now()
      const mayPause = pages >= PAGES_WITHOUT_PAUSE && answeredAt < pauseUntil
      const pauseMs = mayPause ? Math.min(answeredAt - requestedAt, MAX_PAUSE_MS) : 0
      if (pauseMs >= 1) await pause(pauseMs)
      pages++
      requestedAt = now()
      try {
        return await requestPageFrom(first)
      } catch (error) {
        // The server answered the earlier pages, so it is up. The time-out means that the time was too short for all
        // pages.
        const isTooSlow =
          error instanceof TimeoutError && first > 1 && deadline - requestedAt < 1000
        throw isTooSlow ? createTooSlowError(first - 1) : error
      }
    },
  }
}

function applyPage(cache: RegistryCache, first: number, page: RegistryPage): void {
  for (const lines of page.lines) cache.tables.apply(lines, first, page.last)
  cache.tables.settle()
  // New series get ids after the existing ones. So the change number of the last page is also stored for all ids that
  // do not exist yet.
  const last = page.last >= page.size ? Infinity : page.last
  cache.cursors = advanceCursors(cache.cursors, { first, last, change: page.change })
}
