import { DecodeError } from '../errors.js'
import { escapeLabelValue, type MetricType } from '../metrics/family.js'
import { createTable, type Table } from '../metrics/store.js'
import { escapeName, own, parseNumber, unescape } from './registry-text.js'

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
  readonly tables: () => Iterable<Table>
  /** Series, by name of their family, that can't be shown: no number, too long, labels that clash. */
  invalid(): Map<string, number>
}

type RegistryFamily = {
  readonly table: Table
  readonly labelNames: readonly string[]
  /** Column of each value that a line gives, -1 for one that is not kept (a bound given twice). */
  readonly columns: readonly number[]
  /** Why no series of it can be shown; else undefined. */
  readonly unusable: boolean
  tooLong: number
}

const TYPES: Readonly<Record<string, MetricType>> = {
  counter: 'counter',
  gauge: 'gauge',
  histogram: 'histogram',
  summary: 'summary',
}

export function createRegistryTables(): RegistryTables {
  const families = new Map<string, RegistryFamily>()
  // By id: which family and which row. Two plain numbers for each series.
  const familyOf: (RegistryFamily | undefined)[] = []
  let rowOf = new Int32Array(1024)

  function addFamily(fields: readonly string[]): void {
    const [, id, type, name, unit, help, labelCount, ...rest] = fields
    if (labelCount === undefined || !TYPES[type!]) throw bad('a family line', fields)
    if (families.has(id!)) return // every answer that needs it repeats it
    const count = Number(labelCount)
    if (!(count <= rest.length)) throw bad('names of labels', fields)
    const labelNames = rest.slice(0, count).map(escapeName)
    const { bounds, columns } = readBounds(TYPES[type!]!, rest.slice(count))
    families.set(own(id!), {
      table: createTable({
        name: own(escapeName(name!)),
        type: TYPES[type!]!,
        help: own(unescape(help!)),
        unit: own(unescape(unit!)),
        bounds,
      }),
      labelNames: labelNames.map(own),
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
    })
  }

  function familyNamed(id: string | undefined, line: readonly string[]): RegistryFamily {
    const family = families.get(id ?? '')
    if (!family) throw bad('the id of a family told before', line)
    return family
  }

  function addSeries(fields: readonly string[], id: number): void {
    const family = familyNamed(fields[2], fields)
    const { table, labelNames, columns, unusable } = family
    const valuesAt = 4 + labelNames.length
    if (fields.length !== valuesAt + columns.length) {
      throw bad(`${labelNames.length} labels and ${columns.length} values`, fields)
    }
    let row = -1
    if (!unusable) {
      if (familyOf[id] === family) row = rowOf[id]!
      else {
        let labels = ''
        for (let i = 0; i < labelNames.length; i++) {
          const value = escapeLabelValue(unescape(fields[4 + i]!))
          labels += `${i > 0 ? ',' : ''}${labelNames[i]!}="${value}"`
        }
        row = table.append(labels)
      }
      table.setCreated(row, parseNumber(fields[3]!))
    } else if (familyOf[id] !== family) family.tooLong++
    remember(id, family, row)
    setValues(family, row, fields, valuesAt, columns)
  }

  function addTooLong(fields: readonly string[], id: number): void {
    const family = familyNamed(fields[2], fields)
    if (familyOf[id] !== family) family.tooLong++
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
  }

  function setValues(
    { table }: RegistryFamily,
    row: number,
    fields: readonly string[],
    valuesAt: number,
    columns: readonly number[],
  ): void {
    if (fields.length !== valuesAt + columns.length) throw bad(`${columns.length} values`, fields)
    if (row < 0) return
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
      for (const line of lines.split('\n')) {
        if (line === '') continue
        const fields = line.split('\t')
        const kind = fields[0]!
        if (kind === 'F') {
          addFamily(fields)
          continue
        }
        const id = Number(kind === 'S' || kind === 'X' ? fields[1] : kind)
        if (!Number.isInteger(id) || id < first || id > last) {
          throw bad(`an id from ${first} to ${last}`, fields)
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
      for (const { table } of families.values()) table.settle()
    },

    tables: function* () {
      for (const { table, unusable } of families.values()) if (!unusable) yield table
    },

    invalid() {
      const counts = new Map<string, number>()
      for (const { table, tooLong } of families.values()) {
        const count = table.leftOut() + tooLong
        if (count > 0) counts.set(table.meta.name, (counts.get(table.meta.name) ?? 0) + count)
      }
      return counts
    },
  }
}

/** Not the line itself: label values may be names of people or rooms, and errors are logged. */
function bad(expected: string, [kind = '', id = '', ...rest]: readonly string[]): DecodeError {
  const got = `${JSON.stringify(kind)} ${JSON.stringify(id)} and ${rest.length} more fields`
  return new DecodeError('statistics line', expected, got)
}

/**
 * Bounds in ascending order, whatever order the server keeps them in: each bucket's count is
 * cumulative by its own bound, so sorting is all that is needed.
 */
function readBounds(type: MetricType, texts: readonly string[]) {
  if (type === 'counter' || type === 'gauge') return { bounds: [], columns: [0] }
  const given = texts.map(parseNumber)
  const bounds = [...new Set(given)].sort((a, b) => a - b)
  const free = new Map(bounds.map((bound, column) => [bound, column]))
  // A line gives sum, count, then the buckets; a table has the buckets first.
  const columns = [bounds.length, bounds.length + 1]
  for (const bound of given) {
    columns.push(free.get(bound) ?? -1)
    free.delete(bound)
  }
  return { bounds, columns }
}
