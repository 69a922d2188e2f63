import type { Family } from '../metrics/family.js'
import { isDistribution, countValuesPerRow } from '../metrics/family.js'
import { getLabels, getLabelBytes } from '../metrics/labels.js'
import { compareNames, getExposedName, listTakenNames, type TextFormat } from './metric-names.js'
import { runToEnd, type Steps } from './slices.js'

type RowCheck = (row: number) => boolean

const ROWS_PER_STEP = 4096
const SEARCH_BYTES = 1 << 20

/**
 * Counts the rows that OpenMetrics forbids and only the other formats carry: a NaN or negative
 * counter, count or sum, buckets that are not whole numbers or fall, a `_count` that is not the +Inf
 * bucket, an info that is not 1.
 *
 * @see OpenMetrics 1.0.0, Metric Types; client_python 0.16 `openmetrics/parser.py`
 */
export function countInvalidRows(family: Family): number {
  const rows = getRowsIfAllExposed(family, 'openmetrics')
  return family.order.length - (rows ?? runToEnd(findExposedRows(family, 'openmetrics'))).length
}

/** Returns all rows of a family of which the format carries every row; `undefined` if that depends on the rows. */
export function getRowsIfAllExposed(family: Family, format: TextFormat): Uint32Array | undefined {
  const { type, order } = family
  if (type === 'gauge' || type === 'unknown') return order
  return format === 'text' && !isDistribution(type) ? order : undefined
}

/** Returns the rows that the format can carry, in the order in which they are exposed. */
export function* findExposedRows(family: Family, format: TextFormat): Steps<Uint32Array> {
  const hasClash = yield* createClashCheck(family)
  // Prometheus refuses the whole scrape, in either format, for a label that is twice on one line.
  const rows = hasClash ? yield* filterRows(family.order, (row) => !hasClash(row)) : family.order
  return format === 'text' ? rows : yield* filterRows(rows, createRowCheck(family))
}

/**
 * Returns the families that a format exposes, sorted by their exposed name. A family that is given
 * twice is exposed once.
 */
export function listExposedFamilies(families: readonly Family[], format: TextFormat): Family[] {
  const colliding = findCollidingFamilies(families, format)
  return Array.from(new Set(families))
    .filter((family) => !colliding.has(family))
    .map((family) => ({ family, name: getExposedName(family, format) }))
    .sort((a, b) => compareNames(a.name, b.name))
    .map(({ family }) => family)
}

/**
 * Returns the families that a format omits because an earlier family takes one of their names.
 * Earlier means by name, then by type, then in the given order. A family without rows takes no name.
 * The result depends on no value, so a family does not come and go.
 *
 * OpenMetrics: a gauge `x_count` beside a summary `x`, or a gauge `x` beside a counter `x`. Text
 * omits fewer: a gauge `x_total` beside a counter `x` would repeat `# TYPE x_total`, and Prometheus's
 * parser takes `# TYPE x_count` after a summary `x` for a second one of `x`. A reader may refuse the
 * whole scrape for that.
 *
 * @see OpenMetrics 1.0.0, MetricFamily, Suffixes: no "potential clash for sample metric names"
 */
export function findCollidingFamilies(
  families: readonly Family[],
  format: TextFormat,
): ReadonlySet<Family> {
  const taken = new Set<string>()
  const colliding = new Set<Family>()
  const inOrder = [...new Set(families)]
    .filter(({ order }) => order.length > 0)
    .sort((a, b) => compareNames(a.name, b.name) || compareNames(a.type, b.type))
  for (const family of inOrder) {
    const names = listTakenNames(family, format)
    if (names.some((name) => taken.has(name))) colliding.add(family)
    // The names of an omitted family stay taken. That way OpenMetrics omits whatever text omits.
    for (const name of names) taken.add(name)
  }
  return colliding
}

/** Returns the rows that pass the check; the same array if all of them do. */
function* filterRows(rows: Uint32Array, isIncluded: RowCheck): Steps<Uint32Array> {
  let included: Uint32Array | undefined
  let length = 0
  for (let i = 0; i < rows.length; i++) {
    const row = rows[i]!
    if (i % ROWS_PER_STEP === ROWS_PER_STEP - 1) yield
    if (isIncluded(row)) {
      if (included) included[length] = row
      length++
    } else {
      included ??= rows.slice()
    }
  }
  return included?.slice(0, length) ?? rows
}

/** Returns the check whether OpenMetrics can carry a row. */
function createRowCheck(family: Family): RowCheck {
  const { type, values } = family
  switch (type) {
    case 'counter':
      return (row) => values[row]! >= 0
    case 'info':
      return (row) => values[row] === 1
    case 'histogram':
      return createHistogramCheck(family)
    case 'summary':
      return createSummaryCheck(family)
    case 'gauge':
    case 'unknown':
      return () => true
  }
}

function createHistogramCheck(family: Family): RowCheck {
  const { bounds, values } = family
  const columns = countValuesPerRow(family)
  const last = bounds.length - 1
  if (bounds[last] !== Infinity || !isAscending(bounds)) return () => false
  // Without a `_sum` its value does not matter.
  const needsSum = hasSumAndCount(family)
  return (row) => {
    const at = row * columns
    for (let i = 0; i <= last; i++) {
      const bucket = values[at + i]!
      if (!isCount(bucket) || (i > 0 && bucket < values[at + i - 1]!)) return false
    }
    const isSumValid = !needsSum || values[at + last + 1]! >= 0
    return isSumValid && values[at + last + 2] === values[at + last]
  }
}

function createSummaryCheck(family: Family): RowCheck {
  const { bounds, values } = family
  const columns = countValuesPerRow(family)
  const isOutside = bounds.some((quantile) => !(quantile >= 0 && quantile <= 1))
  if (isOutside || !isAscending(bounds)) return () => false
  return (row) => {
    const at = row * columns
    // A quantile is NaN if nothing has been observed.
    for (let i = 0; i < bounds.length; i++) if (values[at + i]! < 0) return false
    return values[at + bounds.length]! >= 0 && isCount(values[at + bounds.length + 1]!)
  }
}

/**
 * Whether OpenMetrics has the family's `_sum` and `_count`. It has neither for a histogram of
 * negative numbers, whose sum may fall.
 *
 * @see OpenMetrics 1.0.0, Histogram: no Sum with negative buckets; `_count` if and only if `_sum`
 */
export function hasSumAndCount({ type, bounds }: Pick<Family, 'type' | 'bounds'>): boolean {
  return type !== 'histogram' || bounds.every((bound) => bound >= 0)
}

function isCount(value: number): boolean {
  return value >= 0 && Number.isInteger(value)
}

function isAscending(bounds: readonly number[]): boolean {
  return bounds.every((bound, i) => i === 0 || bound > bounds[i - 1]!)
}

/**
 * Returns the check whether a row already has the label that the format adds to each bucket or
 * quantile; `undefined` if no row has it.
 */
function* createClashCheck({ type, labels }: Family): Steps<RowCheck | undefined> {
  if (!isDistribution(type)) return undefined
  const added = type === 'histogram' ? 'le' : 'quantile'
  const text = `${added}="`
  const slab = getLabelBytes(labels)
  for (let start = 0; start < slab.length; start += SEARCH_BYTES) {
    if (start > 0) yield
    // A match that the end of a piece cuts in two is whole in this one.
    if (slab.subarray(start, start + SEARCH_BYTES + text.length).includes(text)) {
      return (row) => parseLabelNames(getLabels(labels, row)).includes(added)
    }
  }
  return undefined
}

function parseLabelNames(labels: string): string[] {
  return Array.from(labels.matchAll(/([^=,]+)="(?:\\.|[^"\\])*"/gs), ([, name]) => name!)
}
