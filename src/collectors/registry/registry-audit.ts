import type { RegistryFilter } from './registry-filter.js'
import { createRegistryTables, type RegistryTables } from './registry-lines.js'

/** An answer about the ids up to `last`. */
export type RegistryAnswer = { readonly last: number; readonly lines: readonly string[] }

/**
 * Compares what a full reading of some ids said with what is kept of them.
 *
 * The figures move while one reads, so the store is brought up to date after the full reading, and
 * the ids that moved since the last reading before it are not compared.
 *
 * @param full The reading from nothing.
 * @param since What changed from before it until after it, applied to `tables` already.
 * @returns How many ids differ.
 */
export function countMismatches(
  tables: RegistryTables,
  first: number,
  full: RegistryAnswer,
  since: RegistryAnswer,
  filter: RegistryFilter | undefined,
): number {
  const fresh = createRegistryTables(filter)
  for (const lines of full.lines) fresh.apply(lines, first, full.last)
  const moved = new Set(since.lines.flatMap(idsOf))
  let mismatches = 0
  for (let id = first; id <= Math.min(full.last, since.last); id++) {
    if (moved.has(id)) continue
    const kept = tables.describe(id)
    if (kept !== undefined && fresh.describe(id) !== kept) mismatches++
  }
  return mismatches
}

function idsOf(lines: string): number[] {
  return Array.from(lines.matchAll(/^(?:[SX]\t)?(\d+)\t/gm), (match) => Number(match[1]))
}
