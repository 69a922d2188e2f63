import type { RegistryFilter } from './registry-filter.js'
import { createRegistryTables, type RegistryTables } from './registry-lines.js'

/** The lines of an answer about the ids up to `last`. */
export type RegistryAnswer = { readonly last: number; readonly lines: readonly string[] }

/**
 * Compares a full answer about some ids with the cached values of these ids.
 *
 * Values change between two requests. So the reader requests the full answer first, and then the
 * changes since its last run. Ids in the second answer are not compared, because it is unknown
 * whether they changed before or after the full answer.
 *
 * @param full The answer to a request from change number 0.
 * @param changes The answer with all changes since the last run. The caller has applied it to `tables`.
 * @returns The number of ids whose values differ.
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
