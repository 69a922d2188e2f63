import { chooseHelp } from '../../catalogue/index.js'
import { DecodeError } from '../../errors.js'
import { copyString } from '../../metrics/copy-string.js'
import { type MetricType } from '../../metrics/family.js'
import { joinLabels } from '../../metrics/labels.js'
import { createTable, type Table } from '../../metrics/table.js'
import { EMPTY_BUDGET, type BudgetedTable } from './registry-budget.js'
import type { DropRule, RegistryFilter } from './registry-filter.js'
import { escapeName, readBounds, unescape } from './registry-text.js'

/**
 * A metric family of Prosody's registry. There is one such object per family until the cache is discarded: when the
 * epoch of the registry changes, or after an invalid reply or a failed audit.
 */
export type RegistrySource = {
  readonly table: Table
  /** The name of the family as mod_adhoc_statistics sends it. It has the unit, and can contain `/` and `.`. */
  readonly wireName: string
  /**
   * The HELP text of the family in Prosody. The exporter may serve another text: if this one is uninformative, the
   * table has the text of src/catalogue.
   */
  readonly wireHelp: string
  readonly labelNames: readonly string[]
}

export type RegistryFamily = RegistrySource &
  BudgetedTable & {
    /** The drop rules with label patterns whose family pattern matches this family. */
    readonly labelRules: readonly DropRule[]
    /** The table column of each value of a line, or -1 for a value that is not stored because its bound is repeated. */
    readonly columns: readonly number[]
    /** Whether a drop rule without label patterns matches the family, so that none of its series is exported. */
    readonly isDropped: boolean
    /** Whether Prometheus would reject the family. Its series are not exported, but counted as invalid. */
    readonly isInvalid: boolean
    /** The number of series of this family that are not exported because they are invalid. */
    invalidSeries: number
  }

const TYPES: Readonly<Record<string, MetricType>> = {
  counter: 'counter',
  gauge: 'gauge',
  histogram: 'histogram',
  summary: 'summary',
}

/**
 * Checks the line that defines a family.
 *
 * @throws {DecodeError} The line has too few fields or an unknown metric type.
 */
export function checkFamilyLine(fields: readonly string[]): void {
  const [, , type, , , , labelCount] = fields
  if (labelCount === undefined || !Object.hasOwn(TYPES, type!)) {
    throw lineError('a family line', fields)
  }
}

/** Creates a family from the line that defines it. The caller has checked the line with `checkFamilyLine`. */
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

// Prometheus rejects a whole scrape if a label name is repeated or empty, or if it is `__name__`. A histogram cannot
// have a label `le`, because `le` is the label of its buckets.
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
 * Returns the label text of a series, or undefined for a series that is dropped or invalid. An invalid series is
 * counted in `family.invalidSeries`.
 *
 * @param fields The fields of the line that defines the series.
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
    // A label that the family does not have matches like an empty label, as in Prometheus.
    [...labels].every(([name, pattern]) => pattern.test(values[labelNames.indexOf(name)] ?? ''))
  if (labelRules.some(matches)) return undefined
  return joinLabels(labelNames, values)
}

/**
 * Creates the error for an invalid line of mod_adhoc_statistics. The message does not quote the whole line, because the
 * exporter logs the message, and label values can be names of users or rooms.
 */
export function lineError(
  expected: string,
  [kind = '', id = '', ...rest]: readonly string[],
): DecodeError {
  const got = `${JSON.stringify(kind)} ${JSON.stringify(id)} and ${rest.length} more fields`
  return new DecodeError('statistics line', expected, got)
}
