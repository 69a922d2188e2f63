import { DecodeError } from '../../errors.js'
import { addCount } from '../../metrics/counts.js'
import { createTable, type Table } from '../../metrics/table.js'

/** A family whose series count towards the budget. */
export type BudgetedTable = {
  table: Table
  /** The number of series of the family, stored or omitted. */
  rows: number
  /** The cost of the stored series. */
  cost: number
  /** The family exceeded the budget: its table is empty, and stays empty. */
  isOmitted: boolean
}

export const EMPTY_BUDGET = { rows: 0, cost: 0, isOmitted: false }

// A cost of 1 stands for some 650 bytes of memory, which is what an exported series takes. A series
// costs more if it has long labels or many buckets. A family has a cost of its own, which the budget
// can't get back.
const ROW_BYTES = 512
const LINE_BYTES = 64
const FAMILY_COST = 4
const SPARE_COST = 100_000

/**
 * Limits the memory for the registry, whatever the server sends.
 *
 * The budget is more than twice the limit for exported series. So in most cases all families are
 * complete when the exporter omits the largest ones to meet that limit. A smaller budget would omit
 * the largest of the families that Prosody happens to send first.
 *
 * @param maxSeries The limit for exported series. Default: no limit.
 */
export function createSeriesBudget(maxSeries = Infinity) {
  const max = 2 * maxSeries + SPARE_COST
  let cost = 0

  return {
    addFamily(lineLength: number): void {
      cost += FAMILY_COST + Math.ceil(lineLength / LINE_BYTES)
    },

    /** Counts a series. @returns Whether the caller should store it. */
    tryAddRow(family: BudgetedTable, labels: string): boolean {
      family.rows++
      if (family.isOmitted) return false
      const added = 1 + Math.floor((labels.length + 8 * family.table.valuesPerRow) / ROW_BYTES)
      family.cost += added
      cost += added
      return true
    },

    /**
     * Omits whole families, those with the highest cost first, until the rest is within the budget.
     *
     * @throws {DecodeError} The families without their series exceed the budget.
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

/** Returns the number of series of each omitted family, by family name. */
export function countOmittedSeries(families: Iterable<BudgetedTable>): Map<string, number> {
  const counts = new Map<string, number>()
  for (const { table, rows, isOmitted } of families) {
    if (isOmitted) addCount(counts, table.meta.name, rows)
  }
  return counts
}
