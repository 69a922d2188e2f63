import { DecodeError } from '../../errors.js'
import { addCount } from '../../metrics/counts.js'
import { createTable, type Table } from '../../metrics/table.js'

/** A metric family and the cost of its series. `createSeriesBudget` limits the sum of the costs of all families. */
export type BudgetedTable = {
  table: Table
  /** The number of series that the server sent for the family. It includes series that are not stored. */
  rows: number
  /** The memory cost of the stored series. A short series costs 1. */
  cost: number
  /** Whether the family was omitted because the cache had too many series. Its table is then empty and stays empty. */
  isOmitted: boolean
}

export const EMPTY_BUDGET = { rows: 0, cost: 0, isOmitted: false }

// A cost of 1 stands for about 650 bytes of memory, which an exported series with short labels takes. A series with
// long labels or many buckets costs more. In addition, each family costs at least FAMILY_COST. This cost remains when
// the series of the family are omitted.
const ROW_BYTES = 512
const LINE_BYTES = 64
const FAMILY_COST = 4
const SPARE_COST = 100_000

/**
 * Limits the memory for the cached series of Prosody's registry, even if the server sends millions of series.
 *
 * The cache may have more than twice as many series as the exporter exports. So in most cases, the cache has all
 * series of all families when the snapshot omits the largest families because of `limits.series`. With a smaller
 * cache, the exporter would omit the largest of those families that Prosody happens to send first.
 *
 * @param maxSeries The maximum number of exported series (setting `limits.series`). Default: no limit.
 */
export function createSeriesBudget(maxSeries = Infinity) {
  const max = 2 * maxSeries + SPARE_COST
  let cost = 0

  return {
    addFamily(lineLength: number): void {
      cost += FAMILY_COST + Math.ceil(lineLength / LINE_BYTES)
    },

    /** Counts a new series of the family. @returns Whether the caller should store the series. */
    tryAddRow(family: BudgetedTable, labels: string): boolean {
      family.rows++
      if (family.isOmitted) return false
      const added = 1 + Math.floor((labels.length + 8 * family.table.valuesPerRow) / ROW_BYTES)
      family.cost += added
      cost += added
      return true
    },

    /**
     * If the total cost is above the maximum, this function omits whole families, the most expensive one first, until
     * the total cost is not above the maximum.
     *
     * @throws {DecodeError} The cost of the families is above the maximum even without their series.
     */
    enforce(families: Iterable<BudgetedTable>): void {
      if (cost <= max) return
      const byCost = [...families].sort((a, b) => b.cost - a.cost)
      for (const family of byCost) {
        if (cost <= max || family.cost === 0) break
        cost -= family.cost
        family.cost = 0
        family.isOmitted = true
        family.table = createTable({ ...family.table.meta, bounds: [] })
      }
      if (cost > max) {
        throw new DecodeError(
          'statistics',
          'no more families than limits.series allows',
          `${byCost.length} families`,
        )
      }
    },
  }
}

/** Returns for each name of an omitted family the number of its series. */
export function countOmittedSeries(families: Iterable<BudgetedTable>): Map<string, number> {
  const counts = new Map<string, number>()
  for (const { table, rows, isOmitted } of families) {
    if (isOmitted) addCount(counts, table.meta.name, rows)
  }
  return counts
}
