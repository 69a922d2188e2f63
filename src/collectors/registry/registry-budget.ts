import { DecodeError } from '../../errors.js'
import { addCount } from '../../metrics/counts.js'
import { createTable, type Table } from '../../metrics/table.js'

/** A family's series, as long as there is room for them. */
export type BudgetedTable = {
  table: Table
  /** Series that are kept, or would be; and what they cost. */
  rows: number
  cost: number
  /** There was no room: its table is empty, and stays so. */
  isLeftOut: boolean
}

export const EMPTY_BUDGET = { rows: 0, cost: 0, isLeftOut: false }

// One is some 650 bytes, what a series costs that is served: more with long labels or many buckets. A
// family costs besides, and one without series can't go.
const ROW_BYTES = 512
const LINE_BYTES = 64
const FAMILY_COST = 4
const SPARE_COST = 100_000

/**
 * Keeps what a server tells within bounds, whatever it tells. Up to twice of what is served is kept, so
 * that mostly the largest families of all are left out, and not the largest of those told first.
 *
 * @param maxSeries Default: no bounds.
 */
export function createSeriesBudget(maxSeries = Infinity) {
  const max = 2 * maxSeries + SPARE_COST
  let cost = 0

  return {
    addFamily(lineLength: number): void {
      cost += FAMILY_COST + Math.ceil(lineLength / LINE_BYTES)
    },

    /** @returns Whether it is to be kept. */
    addRow(family: BudgetedTable, labels: string): boolean {
      family.rows++
      if (family.isLeftOut) return false
      const added = 1 + Math.floor((labels.length + 8 * family.table.width) / ROW_BYTES)
      family.cost += added
      cost += added
      return true
    },

    /** @throws {DecodeError} There is none left that could go. */
    make(families: Iterable<BudgetedTable>): void {
      if (cost <= max) return
      const all = [...families].sort((a, b) => b.cost - a.cost)
      for (const family of all) {
        if (cost <= max || family.cost === 0) break
        cost -= family.cost
        family.cost = 0
        family.isLeftOut = true
        family.table = createTable({ ...family.table.meta, bounds: [] })
      }
      if (cost > max) {
        throw new DecodeError(
          'statistics',
          'what limits.series leaves room for',
          `${all.length} families`,
        )
      }
    },
  }
}

/** Series that there was no room for, by name of their family. */
export function omittedSeries(families: Iterable<BudgetedTable>): Map<string, number> {
  const counts = new Map<string, number>()
  for (const { table, rows, isLeftOut } of families) {
    if (isLeftOut) addCount(counts, table.meta.name, rows)
  }
  return counts
}
