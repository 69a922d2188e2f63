import { addCount } from '../../metrics/counts.js'
import { copyString } from '../../metrics/copy-string.js'
import { countOmittedSeries, createSeriesBudget } from './registry-budget.js'
import {
  checkFamilyLine,
  createRegistryFamily,
  encodeLabels,
  FIRST_LABEL,
  lineError,
  type RegistryFamily,
  type RegistrySource,
} from './registry-family.js'
import { KEEP_ALL, type RegistryFilter } from './registry-filter.js'
import { parseNumber } from './registry-text.js'

/**
 * The cache of Prosody's registry. It has a table for each metric family. The text lines that mod_adhoc_statistics
 * sends define the families and set their values.
 *
 * @see prosody-modules/mod_adhoc_statistics/README.md, "Lines"
 */
export type RegistryTables = {
  /**
   * Stores the families and values of the text lines of one reply. The reply is about the series ids `first … last`.
   *
   * @throws {DecodeError} A line is invalid, or has an id outside of `first … last`.
   */
  apply(lines: string, first: number, last: number): void
  /**
   * Sorts new series into their tables. If the cache has too many series, this function omits the largest families.
   * Call it after each reply.
   *
   * @throws {DecodeError} The server sent so many families that the limit is exceeded even without any series.
   */
  settle(): void
  readonly sources: () => Iterable<RegistrySource>
  /**
   * Returns the values of the series with this id as text, so that an audit can compare two caches. The result is
   * undefined if the family of the series is omitted.
   */
  describe(id: number): string | undefined
  /**
   * Returns for each family name the number of invalid series, which are not exported. A series is invalid if its
   * value is not a number, a label value is too long, its labels or buckets are invalid, or another series has the same
   * labels.
   */
  invalid(): Map<string, number>
  /**
   * Returns for each family name the number of series that are omitted because the cache would have too many series.
   */
  omitted(): Map<string, number>
}

// The maximum length of a line. mod_adhoc_statistics omits a series with more than 32 KB of labels, and a family with
// a line of more than 32 KB. The values of a series make its line longer than its labels.
const MAX_LINE_LENGTH = 512 * 1024

export function createRegistryTables(filter: RegistryFilter = KEEP_ALL): RegistryTables {
  const families = new Map<string, RegistryFamily>()
  const index = createSeriesIndex()
  const budget = createSeriesBudget(filter.maxSeries)

  function addFamily(fields: readonly string[], lineLength: number): void {
    checkFamilyLine(fields)
    const number = fields[1]!
    // The family is known already: a reply with new series repeats the lines of their families.
    if (families.has(number)) return
    families.set(copyString(number), createRegistryFamily(fields, filter))
    budget.addFamily(lineLength)
  }

  function applySeries(fields: readonly string[], id: number): void {
    const family = findFamily(families, fields)
    const { labelNames, columns } = family
    const valuesAt = FIRST_LABEL + labelNames.length
    if (fields.length !== valuesAt + columns.length) {
      throw lineError(`${labelNames.length} labels and ${columns.length} values`, fields)
    }
    const row = index.familyOf(id) === family ? index.rowOf(id) : addRow(family, fields)
    if (row >= 0 && !family.isOmitted) family.table.setCreated(row, parseNumber(fields[3]!))
    index.set(id, family, row)
    setValues(family, row, fields, valuesAt)
  }

  /**
   * Stores a new series in the table of its family.
   *
   * @returns The row in the table, or -1 for a series that is not stored.
   */
  function addRow(family: RegistryFamily, fields: readonly string[]): number {
    const labels = encodeLabels(family, fields, filter)
    if (labels === undefined || !budget.tryAddRow(family, labels)) return -1
    return family.table.append(labels)
  }

  /**
   * Counts a series as invalid that mod_adhoc_statistics did not send, because its labels or the line of its family are
   * too long.
   */
  function applyTooLong(fields: readonly string[], id: number): void {
    const family = findFamily(families, fields)
    if (index.familyOf(id) !== family && !family.isDropped) family.invalidSeries++
    index.set(id, family, -1)
  }

  function applyValues(fields: readonly string[], id: number): void {
    const family = index.familyOf(id)
    if (!family) throw lineError('the id of a series that an earlier line defines', fields)
    setValues(family, index.rowOf(id), fields, 1)
  }

  function applyLine(line: string, first: number, last: number): void {
    if (line.length > MAX_LINE_LENGTH) {
      throw lineError(`at most ${MAX_LINE_LENGTH} characters`, [`${line.length}`])
    }
    const fields = line.split('\t')
    const kind = fields[0]!
    if (kind === 'F') {
      addFamily(fields, line.length)
    } else if (kind === 'S') {
      applySeries(fields, readId(fields, 1, first, Math.min(last, index.nextId())))
    } else if (kind === 'X') {
      applyTooLong(fields, readId(fields, 1, first, Math.min(last, index.nextId())))
    } else {
      applyValues(fields, readId(fields, 0, first, last))
    }
  }

  return {
    apply(lines, first, last) {
      index.start(first)
      for (const line of lines.split('\n')) if (line !== '') applyLine(line, first, last)
    },

    settle() {
      budget.enforce(families.values())
      for (const { table } of families.values()) table.sortNewRows()
    },

    sources: function* () {
      for (const family of families.values()) if (!family.isInvalid) yield family
    },

    describe(id) {
      const family = index.familyOf(id)
      if (!family) return 'unknown'
      if (family.isOmitted) return undefined
      return describeSeries(family, index.rowOf(id))
    },

    invalid: () => countInvalidSeries(families.values()),
    omitted: () => countOmittedSeries(families.values()),
  }
}

function findFamily(
  families: ReadonlyMap<string, RegistryFamily>,
  fields: readonly string[],
): RegistryFamily {
  const family = families.get(fields[2] ?? '')
  if (!family) throw lineError('the number of a family that an earlier line defines', fields)
  return family
}

/**
 * Stores the family and the table row of each series id in two arrays, which need less memory than one object per
 * series.
 */
function createSeriesIndex() {
  const families: (RegistryFamily | undefined)[] = []
  let rows = new Int32Array(1024)
  let nextId = 0

  return {
    /**
     * Returns the highest id that the next new series may have. The server defines series in the order of their ids. An
     * invalid id far above would make the arrays grow for all ids below it.
     */
    nextId: () => nextId,
    /** Sets the id that the first series may have. This function has no effect if the index has ids already. */
    start(id: number): void {
      nextId ||= id
    },
    familyOf: (id: number) => families[id],
    /** Returns the table row of a series, or -1 for a series that is not stored. The id must have a family. */
    rowOf: (id: number) => rows[id]!,
    set(id: number, family: RegistryFamily, row: number): void {
      if (id >= rows.length) {
        const grown = new Int32Array(Math.max(id + 1, rows.length * 2))
        grown.set(rows)
        rows = grown
      }
      families[id] = family
      rows[id] = row
      nextId = Math.max(nextId, id + 1)
    },
  }
}

function describeSeries({ table }: RegistryFamily, row: number): string {
  const { name, type } = table.meta
  return `${type} ${name} ${row < 0 ? 'not shown' : table.describe(row)}`
}

function countInvalidSeries(families: Iterable<RegistryFamily>): Map<string, number> {
  const counts = new Map<string, number>()
  for (const { table, invalidSeries } of families) {
    const count = table.countOmittedRows() + invalidSeries
    if (count > 0) addCount(counts, table.meta.name, count)
  }
  return counts
}

function readId(fields: readonly string[], at: number, first: number, last: number): number {
  const id = Number(fields[at])
  if (!Number.isInteger(id) || id < first || id > last) {
    throw lineError(`an id from ${first} to ${last}`, fields)
  }
  return id
}

/**
 * Sets the values of a series to those of a line.
 *
 * @param row The row of the series in its table, or -1 for a series that is not stored. For such a series, this
 *   function only checks how many values the line has.
 * @param valuesAt The index of the first value in `fields`.
 */
function setValues(
  { table, columns, isOmitted }: RegistryFamily,
  row: number,
  fields: readonly string[],
  valuesAt: number,
): void {
  if (fields.length !== valuesAt + columns.length) {
    throw lineError(`${columns.length} values`, fields)
  }
  if (row < 0 || isOmitted) return
  let isMissing = false
  for (let i = 0; i < columns.length; i++) {
    const text = fields[valuesAt + i]!
    if (text === '') isMissing = true
    else if (columns[i]! >= 0) table.set(row, columns[i]!, parseNumber(text))
  }
  // An empty field means that the value in Prosody is not a number. Such a series is omitted, because 0 would be wrong.
  table.setMissing(row, isMissing)
}
