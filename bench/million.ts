/** A million series with names and labels like those of Prosody, for the exporter and for prom-client. */

import { formatLabels } from '../src/metrics/labels.js'
import { createTable, type Table } from '../src/metrics/table.js'

export const nameOf = (family: number) => `prosody_mod_test_series_${family}`
export const labelsOf = (row: number) => ({
  host: `host${row % 10}.example.com`,
  type: row % 2 ? 'c2s' : 's2s',
  ip_family: `ipv6-${row}`,
})
/** Returns the value of a series in a round: a fraction for one series in ten, else a whole number. */
export const valueOf = (row: number, round: number) =>
  row % 10 === 3 ? (row + round) / 7 : row + 10_000 + round * 17

export function createTables(families: number, rows: number): Table[] {
  return Array.from({ length: families }, (_, f) => {
    const table = createTable({
      name: nameOf(f),
      type: 'counter',
      help: 'A test series.',
      unit: '',
      bounds: [],
    })
    for (let row = 0; row < rows; row++) {
      table.append(formatLabels(labelsOf(row)))
      table.set(row, 0, valueOf(row, 0))
      // The registry collector also sorts the new rows after each page of statistics. Here a page has 1,000 rows.
      if (row % 1000 === 999) table.sortNewRows()
    }
    table.sortNewRows()
    return table
  })
}

/** In each table, changes one of `every` values: with 10, every tenth. */
export function change(tables: readonly Table[], rows: number, every: number, round: number): void {
  for (const table of tables) {
    for (let row = round % every; row < rows; row += every) table.set(row, 0, valueOf(row, round))
  }
}
