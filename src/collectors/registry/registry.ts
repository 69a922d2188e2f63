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
  /** The naming schemes of the exported families. Default: the names of mod_http_openmetrics. */
  readonly names?: readonly NameScheme[]
  /** Gives the operator one line of advice if two families have the same name. */
  readonly advise?: (line: string) => void
  /** The number of collections from one audit of the cache to the next one. Default: 20. */
  readonly auditEvery?: number
  /** Called after each collection that failed because mod_adhoc_statistics is not loaded for the component. */
  readonly onMissing?: () => void
  /** Returns monotonic milliseconds. */
  readonly now?: () => number
  readonly pause?: (ms: number) => Promise<void>
}

/**
 * Creates the collector that reads Prosody's whole statistics registry. It runs the ad-hoc command of
 * mod_adhoc_statistics on the exporter's own domain.
 *
 * The collector caches the registry, and a collection requests only the changes since the previous collection. If a
 * reply is lost, the next collection repeats the request. The server does not store what the exporter has read, so no
 * change is missed.
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
    // If the server does not answer the request of an audit, or refuses it, the collection does not fail. A later audit
    // compares the same page.
    const count = await reader.audit(deadline).catch((error: unknown) => {
      if (error instanceof DecodeError) throw error
      return 0
    })
    mismatches += count
    if (count > 0) {
      throw new DecodeError(
        'audit of the cached series',
        'the values that Prosody has now',
        `${count} series with another value`,
      )
    }
  }

  return {
    name: 'registry',

    async collect({ timeoutMs }) {
      const startedAt = now()
      let cache: RegistryCache
      try {
        // The audit comes before the update. The request of an audit can make Prosody collect its statistics again,
        // and all pages of one update must have values of the same collection in Prosody.
        if (++collections % auditEvery === 0) await audit(startedAt + timeoutMs / 2)
        cache = await reader.update(startedAt + timeoutMs)
      } catch (error) {
        // An invalid reply may have changed only a part of the cache. So the next collection reads the whole registry.
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
