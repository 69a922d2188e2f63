import type { RegistryFilter } from './registry-filter.js'
import { createRegistryTables, type RegistryTables } from './registry-lines.js'

/** The text lines of one reply of mod_adhoc_statistics. `last` is the last series id that the reply is about. */
export type RegistryAnswer = { readonly last: number; readonly lines: readonly string[] }

/**
 * Compares the cached values of some series with a full reply, which has the values of all these series in Prosody.
 *
 * Values can change between two requests. So the caller requests the full reply first, and then the changes since the
 * last update of the cache. A series that is in the changes is not compared, because it may have changed after the
 * full reply.
 *
 * @param tables The cache. The caller has already applied `changes` to it.
 * @param first The first series id that both replies are about.
 * @param full The reply to a request with change number 0, which returns the values of all series.
 * @param changes The reply to a request for the changes since the last update of the cache.
 * @returns The number of series whose cached value differs.
 */
export function countMismatches(
  tables: RegistryTables,
  first: number,
  full: RegistryAnswer,
  changes: RegistryAnswer,
  filter: RegistryFilter | undefined,
): number {
  const fullTables = createRegistryTables(filter)
  for (const lines of full.lines) fullTables.apply(lines, first, full.last)
  const changedIds = new Set(changes.lines.flatMap(findIds))
  let mismatches = 0
  for (let id = first; id <= Math.min(full.last, changes.last); id++) {
    if (changedIds.has(id)) continue
    const cached = tables.describe(id)
    if (cached !== undefined && fullTables.describe(id) !== cached) mismatches++
  }
  return mismatches
}

function findIds(lines: string): number[] {
  return Array.from(lines.matchAll(/^(?:[SX]\t)?(\d+)\t/gm), (match) => Number(match[1]))
}
