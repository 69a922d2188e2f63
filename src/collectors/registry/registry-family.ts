import { chooseHelp } from '../../catalogue/index.js'
import { DecodeError } from '../../errors.js'
import { copyString } from '../../metrics/copy-string.js'
import { type MetricType } from '../../metrics/family.js'
import { escapeLabelValue } from '../../metrics/labels.js'
import { createTable, type Table } from '../../metrics/table.js'
import { EMPTY_BUDGET, type BudgetedTable } from './registry-budget.js'
import type { DropRule, RegistryFilter } from './registry-filter.js'
import { escapeName, readBounds, unescape } from './registry-text.js'

/** A family of the registry. It stays the same object for as long as the epoch lasts. */
export type RegistrySource = {
  readonly table: Table
  /** The family's name in Prosody, as the module writes it: with `/`, `.` and the unit. */
  readonly wireName: string
  /** The family's HELP text in Prosody. The table has the catalogue's text if this one is uninformative. */
  readonly wireHelp: string
  readonly labelNames: readonly string[]
}

export type RegistryFamily = RegistrySource &
  BudgetedTable & {
    /** The matching drop rules that have conditions on labels. */
    readonly labelRules: readonly DropRule[]
    /** Column of each value of a line, -1 for a value that is not stored (a repeated bound). */
    readonly columns: readonly number[]
    /** A drop rule without labels matches: no series of the family is exported. */
    readonly isDropped: boolean
    /** Prometheus would refuse the family: its series are not exported, but counted as invalid. */
    readonly isInvalid: boolean
    /** The number of series that can't be exported. */
    invalidSeries: number
  }

const TYPES: Readonly<Record<string, MetricType>> = {
  counter: 'counter',
  gauge: 'gauge',
  histogram: 'histogram',
  summary: 'summary',
}

/** @throws {DecodeError} The line has too few fields or an unknown type. */
export function checkFamilyLine(fields: readonly string[]): void {
  const [, , type, , , , labelCount] = fields
  if (labelCount === undefined || !Object.hasOwn(TYPES, type!)) {
    throw lineError('a family line', fields)
  }
}

/** Creates a family from its line, which `checkFamilyLine` has accepted. */
export function createRegistryFamily(
  fields: readonly string[],
  filter: RegistryFilter,
): RegistryFamily {
  const [, , typeName, name, unit, help, labelCount, ...rest] = fields
  const count = Number(labelCount)
  if (!/^\d+$/.test(labelCount!) || count > rest.length) {
    throw lineError('as many label names as the line says', fields)
  }
  const type = TYPES[typeName!]!
  const labelNames = rest.slice(0, count).map((label) => copyString(escapeName(label)))
  const { bounds, columns } = readBounds(type, rest.slice(count))
  const wireHelp = copyString(unescape(help!))
  const meta = {
    name: copyString(escapeName(name!)),
    type,
    unit: copyString(unescape(unit!)),
    bounds,
  }
  const rules = filter.drop.filter(
    ({ family }) =>
      family.test(meta.name) || (type === 'counter' && family.test(`${meta.name}_total`)),
  )
  return {
    table: createTable({
      ...meta,
      help: chooseHelp({ ...meta, labels: labelNames, help: wireHelp }),
    }),
    wireName: copyString(name!),
    wireHelp,
    labelNames,
    labelRules: rules.filter(({ labels }) => labels.size > 0),
    columns,
    isDropped: rules.some(({ labels }) => labels.size === 0),
    isInvalid: name === '' || hasInvalidLabels(type, labelNames) || hasInvalidBounds(type, bounds),
    invalidSeries: 0,
    ...EMPTY_BUDGET,
  }
}

// Prometheus rejects the whole scrape for a repeated label name, an empty one, or `__name__`. In a
// histogram, `le` is the label of the buckets.
function hasInvalidLabels(type: MetricType, labelNames: readonly string[]): boolean {
  return (
    labelNames.includes('') ||
    labelNames.includes('__name__') ||
    new Set(labelNames).size < labelNames.length ||
    (type === 'histogram' && labelNames.includes('le'))
  )
}

function hasInvalidBounds(type: MetricType, bounds: readonly number[]): boolean {
  return bounds.some(Number.isNaN) || (type === 'histogram' && bounds.length === 0)
}

/** The index of the first label value in the line of a series. */
export const FIRST_LABEL = 4

/**
 * Returns the label text of a series.
 *
 * @param fields The fields of its line.
 * @returns `undefined` for a series that is not exported. If it can't be exported, it is counted.
 */
export function encodeLabels(
  family: RegistryFamily,
  fields: readonly string[],
  filter: RegistryFilter,
): string | undefined {
  const { labelNames, labelRules } = family
  if (family.isDropped) return undefined
  const values = labelNames.map((_, i) => unescape(fields[FIRST_LABEL + i]!))
  if (family.isInvalid || values.some(({ length }) => length > filter.labelValueLength)) {
    family.invalidSeries++
    return undefined
  }
  const matches = ({ labels }: DropRule) =>
    // In Prometheus, a missing label is the same as an empty one.
    [...labels].every(([name, pattern]) => pattern.test(values[labelNames.indexOf(name)] ?? ''))
  if (labelRules.some(matches)) return undefined
  return values.map((value, i) => `${labelNames[i]!}="${escapeLabelValue(value)}"`).join(',')
}

/**
 * Returns the error for a line that can't be decoded. Its message does not contain the whole line,
 * because errors are logged, and label values may be names of users or rooms.
 */
export function lineError(
  expected: string,
  [kind = '', id = '', ...rest]: readonly string[],
): DecodeError {
  const got = `${JSON.stringify(kind)} ${JSON.stringify(id)} and ${rest.length} more fields`
  return new DecodeError('statistics line', expected, got)
}
