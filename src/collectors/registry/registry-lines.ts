import { helpFor } from '../../catalogue/index.js'
import { DecodeError } from '../../errors.js'
import { addCount } from '../../metrics/counts.js'
import { escapeLabelValue, type MetricType } from '../../metrics/family.js'
import { createTable, type Table } from '../../metrics/table.js'
import { copyString } from '../../metrics/copy-string.js'
import { KEEP_ALL, type DropRule, type RegistryFilter } from './registry-filter.js'
import {
  createSeriesBudget,
  omittedSeries,
  EMPTY_BUDGET,
  type BudgetedTable,
} from './registry-budget.js'
import { escapeName, parseNumber, readBounds, unescape } from './registry-text.js'

/**
 * What the companion module's lines mean: tab-separated text, decoded into tables.
 *
 * @see prosody-modules/mod_adhoc_statistics/README.md, "Lines"
 */
export type RegistryTables = {
  /** Applies the lines of one answer, which may speak of the ids `first … last` only. */
  apply(lines: string, first: number, last: number): void
  /** Puts the series that came new into their order. */
  settle(): void
  readonly sources: () => Iterable<RegistrySource>
  /** All known of one id, as text that two readings have in common; nothing if it is left out. */
  describe(id: number): string | undefined
  /** Series, by name of their family, that can't be shown: no number, too long, labels that clash. */
  invalid(): Map<string, number>
  /** Series of families that there was no room to keep, by name of their family. */
  leftOut(): Map<string, number>
}

/** A family of the registry, the same object as long as the registry is. */
export type RegistrySource = {
  readonly table: Table
  /** The name that it has in Prosody, as the module writes it: with `/` and `.`, and its unit. */
  readonly wireName: string
  /** The HELP that it has in Prosody; the table's is ours where that one says nothing. */
  readonly wireHelp: string
  readonly labelNames: readonly string[]
}

type RegistryFamily = RegistrySource &
  BudgetedTable & {
    /** Those of the rules that look at labels. */
    readonly drop: readonly DropRule[]
    /** Column of each value that a line gives, -1 for one that is not kept (a bound given twice). */
    readonly columns: readonly number[]
    /** No series of it is shown: `unusable` ones can't be, and are counted. */
    readonly isDropped: boolean
    readonly unusable: boolean
    tooLong: number
  }

// The module leaves out what has more than 32 KB of labels or bounds; each bound has a value besides.
const MAX_LINE = 512 * 1024

const TYPES: Readonly<Record<string, MetricType>> = {
  counter: 'counter',
  gauge: 'gauge',
  histogram: 'histogram',
  summary: 'summary',
}

export function createRegistryTables(filter: RegistryFilter = KEEP_ALL): RegistryTables {
  const families = new Map<string, RegistryFamily>()
  // By id: which family and which row. Two plain numbers for each series.
  const familyOf: (RegistryFamily | undefined)[] = []
  let rowOf = new Int32Array(1024)
  const room = createSeriesBudget(filter.maxSeries)
  // Ids come one after another: one far off would only ask for room for all that are between.
  let nextId = 0

  function addFamily(fields: readonly string[], length: number): void {
    const [, id, type, name, unit, help, labelCount, ...rest] = fields
    if (labelCount === undefined || !Object.hasOwn(TYPES, type!)) throw bad('a family line', fields)
    if (families.has(id!)) return // every answer that needs it repeats it
    const count = Number(labelCount)
    if (!/^\d+$/.test(labelCount) || count > rest.length) throw bad('names of labels', fields)
    const labelNames = rest.slice(0, count).map((label) => escapeName(label))
    const { bounds, columns } = readBounds(TYPES[type!]!, rest.slice(count))
    const shownName = copyString(escapeName(name!))
    const rules = filter.drop.filter(
      ({ family }) =>
        family.test(shownName) || (type === 'counter' && family.test(`${shownName}_total`)),
    )
    room.addFamily(length)
    const [wireHelp, ownUnit] = [copyString(unescape(help!)), copyString(unescape(unit!))]
    const meta = { name: shownName, type: TYPES[type!]!, unit: ownUnit, bounds }
    families.set(copyString(id!), {
      drop: rules.filter(({ labels }) => labels.size > 0),
      isDropped: rules.some(({ labels }) => labels.size === 0),
      table: createTable({
        ...meta,
        help: helpFor({ ...meta, labels: labelNames, help: wireHelp }),
      }),
      wireName: copyString(name!),
      wireHelp,
      labelNames: labelNames.map(copyString),
      columns,
      // Prometheus refuses the whole scrape for a label given twice or without a name, or named
      // `__name__`, or a family without a name. A histogram's own label is `le`.
      unusable:
        name === '' ||
        labelNames.includes('') ||
        labelNames.includes('__name__') ||
        new Set(labelNames).size < labelNames.length ||
        bounds.some(Number.isNaN) ||
        (type === 'histogram' && (labelNames.includes('le') || bounds.length === 0)),
      tooLong: 0,
      ...EMPTY_BUDGET,
    })
  }

  function familyNamed(id: string | undefined, line: readonly string[]): RegistryFamily {
    const family = families.get(id ?? '')
    if (!family) throw bad('the id of a family told before', line)
    return family
  }

  function addSeries(fields: readonly string[], id: number): void {
    const family = familyNamed(fields[2], fields)
    const { table, labelNames, columns } = family
    const valuesAt = 4 + labelNames.length
    if (fields.length !== valuesAt + columns.length) {
      throw bad(`${labelNames.length} labels and ${columns.length} values`, fields)
    }
    const row = familyOf[id] === family ? rowOf[id]! : addRow(family, fields)
    if (row >= 0 && !family.isLeftOut) table.setCreated(row, parseNumber(fields[3]!))
    remember(id, family, row)
    setValues(family, row, fields, valuesAt, columns)
  }

  /** @returns -1 for a series that is not shown. */
  function addRow(family: RegistryFamily, fields: readonly string[]): number {
    const { table, labelNames, drop, isDropped, unusable } = family
    if (isDropped) return -1
    const values = labelNames.map((_, i) => unescape(fields[4 + i]!))
    if (unusable || values.some(({ length }) => length > filter.labelValueLength)) {
      family.tooLong++
      return -1
    }
    const isUnwanted = ({ labels }: DropRule) =>
      // A label that is not there is empty, as everywhere in Prometheus.
      [...labels].every(([name, pattern]) => pattern.test(values[labelNames.indexOf(name)] ?? ''))
    if (drop.some(isUnwanted)) return -1
    const labels = values
      .map((value, i) => `${labelNames[i]!}="${escapeLabelValue(value)}"`)
      .join(',')
    return room.addRow(family, labels) ? table.append(labels) : -1
  }

  function addTooLong(fields: readonly string[], id: number): void {
    const family = familyNamed(fields[2], fields)
    if (familyOf[id] !== family && !family.isDropped) family.tooLong++
    remember(id, family, -1)
  }

  function remember(id: number, family: RegistryFamily, row: number): void {
    if (id >= rowOf.length) {
      const grown = new Int32Array(Math.max(id + 1, rowOf.length * 2))
      grown.set(rowOf)
      rowOf = grown
    }
    familyOf[id] = family
    rowOf[id] = row
    nextId = Math.max(nextId, id + 1)
  }

  function setValues(
    { table, isLeftOut }: RegistryFamily,
    row: number,
    fields: readonly string[],
    valuesAt: number,
    columns: readonly number[],
  ): void {
    if (fields.length !== valuesAt + columns.length) throw bad(`${columns.length} values`, fields)
    if (row < 0 || isLeftOut) return
    let isMissing = false
    for (let i = 0; i < columns.length; i++) {
      const text = fields[valuesAt + i]!
      if (text === '') isMissing = true
      else if (columns[i]! >= 0) table.set(row, columns[i]!, parseNumber(text))
    }
    // What the server did not say is missing, not zero.
    table.setMissing(row, isMissing)
  }

  return {
    apply(lines, first, last) {
      nextId ||= first
      for (const line of lines.split('\n')) {
        if (line === '') continue
        if (line.length > MAX_LINE) throw bad(`at most ${MAX_LINE} characters`, [`${line.length}`])
        const fields = line.split('\t')
        const kind = fields[0]!
        if (kind === 'F') {
          addFamily(fields, line.length)
          continue
        }
        const isDefinition = kind === 'S' || kind === 'X'
        const id = Number(isDefinition ? fields[1] : kind)
        const most = isDefinition ? Math.min(last, nextId) : last
        if (!Number.isInteger(id) || id < first || id > most) {
          throw bad(`an id from ${first} to ${most}`, fields)
        }
        if (kind === 'S') addSeries(fields, id)
        else if (kind === 'X') addTooLong(fields, id)
        else {
          const family = familyOf[id]
          if (!family) throw bad('the id of a series told before', fields)
          setValues(family, rowOf[id]!, fields, 1, family.columns)
        }
      }
    },

    settle() {
      room.make(families.values())
      for (const { table } of families.values()) table.settle()
    },

    sources: function* () {
      for (const family of families.values()) if (!family.unusable) yield family
    },

    describe(id) {
      const family = familyOf[id]
      if (!family) return 'unknown'
      if (family.isLeftOut) return undefined
      const { name, type } = family.table.meta
      const row = rowOf[id]!
      return `${type} ${name} ${row < 0 ? 'not shown' : family.table.describe(row)}`
    },

    invalid() {
      const counts = new Map<string, number>()
      for (const { table, tooLong } of families.values()) {
        const count = table.leftOut() + tooLong
        if (count > 0) addCount(counts, table.meta.name, count)
      }
      return counts
    },

    leftOut: () => omittedSeries(families.values()),
  }
}

/** Not the line itself: label values may be names of people or rooms, and errors are logged. */
function bad(expected: string, [kind = '', id = '', ...rest]: readonly string[]): DecodeError {
  const got = `${JSON.stringify(kind)} ${JSON.stringify(id)} and ${rest.length} more fields`
  return new DecodeError('statistics line', expected, got)
}
