import { setTimeout as sleep } from 'node:timers/promises'
import { DecodeError, NotHandledError } from '../../errors.js'
import { addCount } from '../../metrics/counts.js'
import { family } from '../../metrics/family.js'
import type { Connection } from '../../xmpp/connection.js'
import type { Collected, Collector } from '../collector.js'
import { addAdvice } from './registry-advice.js'
import type { RegistryFilter } from './registry-filter.js'
import type { NameScheme } from './name-schemes.js'
import { prepareNaming } from './registry-names.js'
import { createRegistryReader, type RegistryCache } from './registry-reader.js'

export { REGISTRY_NODE } from './registry-page.js'

export type RegistryOptions = {
  readonly filter?: RegistryFilter
  /** Default: the names of mod_http_openmetrics. */
  readonly names?: readonly NameScheme[]
  /** Takes a line for the operator about names that two families have. */
  readonly advise?: (line: string) => void
  /** The number of collections from one audit to the next. Default: 20. */
  readonly auditEvery?: number
  /** Called whenever the exporter's own domain turns out to lack the module. */
  readonly onMissing?: () => void
  /** Monotonic milliseconds. */
  readonly now?: () => number
  readonly pause?: (ms: number) => Promise<void>
}

/**
 * Collects Prosody's whole statistics registry with the companion module's command on the exporter's own
 * domain.
 *
 * A collection requests what changed since each id was last read. A lost answer costs nothing, because
 * the server stores no state for the exporter: the next collection sends the same request.
 */
export function createRegistryCollector(
  connection: Pick<Connection, 'request' | 'domain'>,
  options: RegistryOptions = {},
): Collector {
  const { filter, auditEvery = 20, onMissing, now = () => performance.now() } = options
  const createNaming = prepareNaming(options.names ?? [], options.advise ?? (() => {}))
  const { pause = sleep } = options
  const reader = createRegistryReader(connection, { filter, createNaming, clock: { now, pause } })
  let collections = 0
  let mismatches = 0

  async function audit(deadline: number): Promise<void> {
    // An audit without an answer in time is no failure of the collection. A later audit takes its page.
    const count = await reader.audit(deadline).catch((error: unknown) => {
      if (error instanceof DecodeError) throw error
      return 0
    })
    mismatches += count
    if (count > 0) {
      throw new DecodeError(
        'audit',
        'cached values as in a full answer',
        `${count} series that differ`,
      )
    }
  }

  return {
    name: 'registry',

    async collect({ timeoutMs }) {
      const startedAt = now()
      let cache: RegistryCache
      try {
        // The audit comes first. A request from id 1 makes Prosody collect again, and the values of one
        // update must come from one collection.
        if (++collections % auditEvery === 0) await audit(startedAt + timeoutMs / 2)
        cache = await reader.update(startedAt + timeoutMs)
      } catch (error) {
        // The cache may have only a part of the answer: read everything next time.
        if (error instanceof DecodeError) reader.reset()
        if (error instanceof NotHandledError) onMissing?.()
        throw addAdvice(error, connection.domain)
      }
      return collectedOf(cache, startedAt, mismatches)
    },
  }
}

function collectedOf(
  { tables, naming, updatedSeconds }: RegistryCache,
  atMs: number,
  mismatches: number,
): Collected {
  const families = naming
    ? naming.families(tables.sources(), atMs)
    : Array.from(tables.sources(), ({ table }) => table.snapshot())
  return {
    families,
    exporterFamilies: [
      ...(Number.isNaN(updatedSeconds) ? [] : [updatedFamily(updatedSeconds)]),
      mismatchesFamily(mismatches),
    ],
    omitted: tables.omitted(),
    invalid: naming ? addCounts(tables.invalid(), naming.clashes()) : tables.invalid(),
  }
}

function addCounts(a: ReadonlyMap<string, number>, b: ReadonlyMap<string, number>) {
  const sum = new Map(a)
  for (const [name, count] of b) addCount(sum, name, count)
  return sum
}

function updatedFamily(seconds: number) {
  return family(
    'gauge',
    'prosody_exporter_registry_updated_timestamp_seconds',
    'Unix time when Prosody last collected its statistics, by its own clock.',
    [{ value: seconds }],
  )
}

function mismatchesFamily(count: number) {
  return family(
    'counter',
    'prosody_exporter_audit_mismatches',
    "Number of series whose cached value differed from Prosody's in a periodic self-check.",
    [{ value: count }],
  )
}
