import { setTimeout as sleep } from 'node:timers/promises'
import { DecodeError, NotHandledError, TimeoutError } from '../../errors.js'
import { addCount } from '../../metrics/counts.js'
import { family } from '../../metrics/family.js'
import type { Connection } from '../../xmpp/connection.js'
import type { Collector } from '../collector.js'
import { tooSlow, withAdvice } from './registry-advice.js'
import { countMismatches } from './registry-audit.js'
import { FROM_NOTHING, sinceField, withAnswer, type Cursors } from './registry-cursors.js'
import type { NameScheme } from './name-schemes.js'
import { createNaming, type Naming } from './registry-names.js'
import type { RegistryFilter } from './registry-filter.js'
import { createRegistryTables, type RegistryTables } from './registry-lines.js'
import { requestPage, type RegistryPage } from './registry-page.js'

export { REGISTRY_NODE } from './registry-page.js'

// Prosody serves nobody while it makes a page, so after a few we leave it alone between two for as long
// as the last one took, at most so many milliseconds.
const PAGES_AT_ONCE = 4
const LONGEST_PAUSE_MS = 20

type Asked = { readonly first: number; readonly last?: number; readonly since: string }

/** What is known of the server's registry, from one epoch of it. */
type Registry = {
  readonly epoch: string
  readonly tables: RegistryTables
  /** Nothing: families are called as the tables are. */
  readonly naming: Naming | undefined
  cursors: Cursors
  /** The id from which the next audit reads. */
  auditFrom: number
  updatedSeconds: number
}

export type RegistryOptions = {
  readonly filter?: RegistryFilter
  /** Default: those of mod_http_openmetrics. */
  readonly names?: readonly NameScheme[]
  /** Takes a line about names that two families want. */
  readonly advise?: (line: string) => void
  /** One range of ids is audited in so many collections. Default: 20. */
  readonly auditEvery?: number
  /** Each time that our own domain turns out to be without the module. */
  readonly onMissing?: () => void
  /** Monotonic milliseconds. */
  readonly now?: () => number
  readonly pause?: (ms: number) => Promise<void>
}

/**
 * Prosody's whole statistics registry, from the companion module's command on our own domain.
 *
 * A run asks what changed since each id was last read. A lost answer costs nothing, because the
 * server keeps no state for us: the same is asked again.
 */
export function createRegistryCollector(
  connection: Pick<Connection, 'request' | 'domain'>,
  options: RegistryOptions = {},
): Collector {
  const { filter, auditEvery = 20, onMissing, now = () => performance.now() } = options
  const nameFamilies = createNaming(options.names ?? [], options.advise ?? (() => {}))
  const { pause = sleep } = options
  let registry: Registry | undefined
  let collections = 0
  let mismatches = 0

  function ask(asked: Asked, deadline: number): Promise<RegistryPage> {
    const { epoch } = registry ?? {}
    return requestPage(connection, { epoch, ...asked }, Math.max(deadline - now(), 1))
  }

  /** @returns false when the server's registry became another one in the middle. */
  async function run(deadline: number): Promise<boolean> {
    let askedAt = now()
    // With half of the time gone there is none to wait.
    const pauseUntil = (askedAt + deadline) / 2
    const from = async (first: number, pauseMs = 0) => {
      if (pauseMs >= 1) await pause(pauseMs)
      askedAt = now()
      return await ask(
        { first, since: sinceField(registry?.cursors ?? FROM_NOTHING, first) },
        deadline,
      )
    }
    let first = 1
    let coming = from(first)
    for (let pages = 1; ; pages++) {
      const page = await coming.catch((error: unknown) => {
        const leftMs = deadline - askedAt
        // Time ran out while the server was answering, page after page: it is there.
        if (error instanceof TimeoutError && first > 1 && leftMs < 1000) throw tooSlow(first - 1)
        throw error
      })
      if (page.epoch !== registry?.epoch) {
        registry = undefined
        // A new epoch's first page is complete as it is; any other was asked for in vain.
        if (first > 1) return false
        registry = {
          epoch: page.epoch,
          tables: createRegistryTables(filter),
          naming: nameFamilies?.(),
          cursors: FROM_NOTHING,
          auditFrom: 1,
          updatedSeconds: NaN,
        }
      }
      if (first === 1) registry.updatedSeconds = page.updatedSeconds
      const isLast = page.last >= page.size
      if (!isLast) {
        const answeredAt = now()
        const mayPause = pages >= PAGES_AT_ONCE && answeredAt < pauseUntil
        const pauseMs = mayPause ? Math.min(answeredAt - askedAt, LONGEST_PAUSE_MS) : 0
        // On its way while we decode.
        coming = from(page.last + 1, pauseMs)
        coming.catch(() => {})
      }
      take(registry, first, page)
      if (isLast) return true
      first = page.last + 1
    }
  }

  function take(current: Registry, first: number, page: RegistryPage): void {
    const { tables, cursors } = current
    for (const lines of page.lines) tables.apply(lines, first, page.last)
    tables.settle()
    // What comes new has ids at the end.
    const last = page.last >= page.size ? Infinity : page.last
    current.cursors = withAnswer(cursors, { first, last, change: page.change })
  }

  /**
   * Reads a page from nothing, each time the next one, and compares it with what is kept: a check
   * on the whole exchange while it runs.
   */
  async function audit(current: Registry, deadline: number): Promise<void> {
    const first = current.auditFrom
    const full = await ask({ first, since: '0' }, deadline)
    if (full.epoch !== current.epoch) return
    const asked = { first, last: full.last, since: sinceField(current.cursors, first) }
    const since = await ask(asked, deadline)
    if (since.epoch !== current.epoch) return
    take(current, first, since)
    current.auditFrom = since.last >= since.size ? 1 : since.last + 1
    const count = countMismatches(current.tables, first, full, since, filter)
    mismatches += count
    if (count > 0) {
      throw new DecodeError('audit', 'what a full reading tells', `${count} series that differ`)
    }
  }

  return {
    name: 'registry',

    async collect({ timeoutMs }) {
      const startedAt = now()
      const deadline = startedAt + timeoutMs
      try {
        // Before all else is read: an answer from the first id on is of a collection of its own.
        if (++collections % auditEvery === 0 && registry) {
          // One that can't be made, because there is no time or no answer, is made another time.
          await audit(registry, startedAt + timeoutMs / 2).catch((error: unknown) => {
            if (error instanceof DecodeError) throw error
          })
        }
        // Once more when the registry changed under us: a run never mixes two epochs.
        for (let tries = 0; !(await run(deadline)); tries++) {
          if (tries === 3) {
            throw new DecodeError('statistics', 'one epoch for a whole run', 'a new one each time')
          }
          await pause(0)
        }
      } catch (error) {
        // What was read may be half of it: begin with an empty store next time.
        if (error instanceof DecodeError) registry = undefined
        if (error instanceof NotHandledError) onMissing?.()
        throw withAdvice(error, connection.domain)
      }
      const { tables, naming, updatedSeconds } = registry!
      const families = naming
        ? naming.families(tables.sources(), startedAt)
        : Array.from(tables.sources(), ({ table }) => table.snapshot())
      return {
        families,
        about: [
          ...(Number.isNaN(updatedSeconds) ? [] : [updatedFamily(updatedSeconds)]),
          mismatchesFamily(mismatches),
        ],
        leftOut: tables.leftOut(),
        invalid: naming ? addUp(tables.invalid(), naming.leftOut()) : tables.invalid(),
      }
    },
  }
}

function addUp(a: ReadonlyMap<string, number>, b: ReadonlyMap<string, number>) {
  const sum = new Map(a)
  for (const [name, count] of b) addCount(sum, name, count)
  return sum
}

function updatedFamily(seconds: number) {
  return family(
    'gauge',
    'prosody_exporter_registry_updated_timestamp_seconds',
    'When Prosody last collected its statistics, by its own clock; counters that modules increment are newer.',
    [{ value: seconds }],
  )
}

function mismatchesFamily(count: number) {
  return family(
    'counter',
    'prosody_exporter_audit_mismatches',
    'Series of which a full reading, made now and then for comparison, told something else than what was kept.',
    [{ value: count }],
  )
}
