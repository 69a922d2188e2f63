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
 * The cached registry: tables that the lines of the companion module fill.
 *
 * @see prosody-modules/mod_adhoc_statistics/README.md, "Lines"
 */
export type RegistryTables = {
  /**
   * Applies the lines of one answer.
   *
   * @throws {DecodeError} A line is invalid, or has an id outside of `first … last`.
   */
  apply(lines: string, first: number, last: number): void
  /**
   * Sorts new series into their tables, and omits the largest families if the budget is exceeded. Call
   * it after each answer.
   *
   * @throws {DecodeError} The families exceed the budget even without their series.
   */
  settle(): void
  readonly sources: () => Iterable<RegistrySource>
  /** Returns the state of one id as text, to compare two caches; `undefined` if its family is omitted. */
  describe(id: number): string | undefined
  /**
   * Counts the series that can't be exported, by name of their family. The reason is a value that is
   * not a number, a label value that is too long, or labels that are invalid or not unique.
   */
  invalid(): Map<string, number>
  /** Counts the series of the families that exceeded the budget, by name of their family. */
  omitted(): Map<string, number>
}

// The module omits a series or family with more than 32 KB of labels or bounds. Values come on top of that.
const MAX_LINE_LENGTH = 512 * 1024

export function createRegistryTables(filter: RegistryFilter = KEEP_ALL): RegistryTables {
  const families = new Map<string, RegistryFamily>()
  const index = createSeriesIndex()
  const budget = createSeriesBudget(filter.maxSeries)

  function addFamily(fields: readonly string[], lineLength: number): void {
    checkFamilyLine(fields)
    const number = fields[1]!
    // Each answer repeats the families of its new series.
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

  /** @returns The row of a new series, or -1 if it is not stored. */
  function addRow(family: RegistryFamily, fields: readonly string[]): number {
    const labels = encodeLabels(family, fields, filter)
    if (labels === undefined || !budget.tryAddRow(family, labels)) return -1
    return family.table.append(labels)
  }

  /** Applies the line of a series that the module omitted, because its text is too long. */
  function applyTooLong(fields: readonly string[], id: number): void {
    const family = findFamily(families, fields)
    if (index.familyOf(id) !== family && !family.isDropped) family.invalidSeries++
    index.set(id, family, -1)
  }

  function applyValues(fields: readonly string[], id: number): void {
    const family = index.familyOf(id)
    if (!family) throw lineError('the id of a series defined before', fields)
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
  if (!family) throw lineError('the number of a family defined before', fields)
  return family
}

/** The family and the row of each id, in two arrays: a series costs two small numbers and no object. */
function createSeriesIndex() {
  const families: (RegistryFamily | undefined)[] = []
  let rows = new Int32Array(1024)
  let nextId = 0

  return {
    /**
     * The highest id that a definition may have. Definitions come in the order of their ids. An id far
     * above would make the arrays grow for all ids below it.
     */
    nextId: () => nextId,
    /** Sets the first id, unless there are ids already. */
    start(id: number): void {
      nextId ||= id
    },
    familyOf: (id: number) => families[id],
    /** Only for an id with a family; -1 if its series is not stored. */
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

/** @param row -1 for a series that is not stored. Its values are only checked for their number. */
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
  // Prosody has a value that is not a number. It is missing, not 0.
  table.setMissing(row, isMissing)
}
