import { DecodeError, TimeoutError } from '../../errors.js'
import type { Connection } from '../../xmpp/connection.js'
import { createTooSlowError } from './registry-advice.js'
import { countMismatches } from './registry-audit.js'
import { advanceCursors, formatSince, INITIAL_CURSORS, type Cursors } from './registry-cursors.js'
import type { RegistryFilter } from './registry-filter.js'
import { createRegistryTables, type RegistryTables } from './registry-lines.js'
import type { Naming } from './registry-names.js'
import { requestPage, type PageRequest, type RegistryPage } from './registry-page.js'

// Prosody is blocked while it builds a page. So after the first few pages, the reader pauses between two
// pages for as long as the last one took, up to a limit.
const PAGES_WITHOUT_PAUSE = 4
const MAX_PAUSE_MS = 20

const MAX_ATTEMPTS = 4

/** The cached registry of one epoch. */
export type RegistryCache = {
  readonly epoch: string
  readonly tables: RegistryTables
  /** `undefined`: families have the names of their tables. */
  readonly naming: Naming | undefined
  cursors: Cursors
  /** The first id of the next audit. */
  auditFrom: number
  updatedSeconds: number
}

export type ReaderOptions = {
  readonly filter: RegistryFilter | undefined
  /** Creates the naming of an epoch; `undefined`: families have the names of their tables. */
  readonly createNaming: (() => Naming) | undefined
  readonly clock: Clock
}

type Clock = {
  /** Monotonic milliseconds. */
  readonly now: () => number
  readonly pause: (ms: number) => Promise<void>
}

/** Keeps a cache of Prosody's registry up to date. A deadline is in the monotonic milliseconds of the clock. */
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

  /** Reads all changes. @returns `undefined` if the epoch changed in the middle. */
  async function tryUpdate(deadline: number): Promise<RegistryCache | undefined> {
    const paced = createPacedRequests((first) => requestChanges(first, deadline), deadline, clock)
    let first = 1
    let nextPage = paced.request(first)
    for (;;) {
      const page = await nextPage
      if (page.epoch !== cache?.epoch) {
        cache = undefined
        // The answer to a request from id 1 is complete. A later page lacks the ids before it.
        if (first > 1) return undefined
        cache = createCache(page.epoch, options)
      }
      if (first === 1) cache.updatedSeconds = page.updatedSeconds
      const isLast = page.last >= page.size
      if (!isLast) {
        // Prosody builds the next page while this one is decoded.
        nextPage = paced.request(page.last + 1)
        nextPage.catch(() => {})
      }
      applyPage(cache, first, page)
      if (isLast) return cache
      first = page.last + 1
    }
  }

  return {
    /** Reads all changes, and starts again if the epoch changes. A result never mixes two epochs. */
    async update(deadline: number): Promise<RegistryCache> {
      for (let attempt = 1; ; attempt++) {
        const updated = await tryUpdate(deadline)
        if (updated) return updated
        if (attempt === MAX_ATTEMPTS) {
          throw new DecodeError(
            'statistics',
            'one epoch for all pages',
            'a new one in each attempt',
          )
        }
        await clock.pause(0)
      }
    },

    /**
     * Requests one page from change number 0, and compares it with the cache. Each call takes the page
     * after the previous one. So the audit checks the whole exchange while the exporter runs.
     *
     * @returns The number of series that differ.
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

    /** Forgets the cache, so that the next update reads everything. */
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

/** Creates the requests for the pages of one update, with pauses in between. */
function createPacedRequests(
  requestPageFrom: (first: number) => Promise<RegistryPage>,
  deadline: number,
  { now, pause }: Clock,
) {
  let pages = 0
  let requestedAt = now()
  // There are no pauses in the second half of the time.
  const pauseUntil = (requestedAt + deadline) / 2

  return {
    /** Requests the page that starts at the id `first`. The previous page must have arrived. */
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
        // The server has answered page after page, so it is up. Only the time was too short.
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
  // New series get ids at the end, so the last change number is valid for them too.
  const last = page.last >= page.size ? Infinity : page.last
  cache.cursors = advanceCursors(cache.cursors, { first, last, change: page.change })
}
