import { type Family, isDistribution, countValuesPerRow } from '../metrics/family.js'
import { getLabels, getLabelBytes } from '../metrics/labels.js'
import { compareNames, getExposedName, listTakenNames, type TextFormat } from './metric-names.js'
import { runToEnd, type Steps } from './slices.js'

type RowCheck = (row: number) => boolean

const ROWS_PER_STEP = 4096
const SEARCH_BYTES = 1 << 20

/**
 * Counts the rows that OpenMetrics forbids, for example a counter, count or sum that is NaN or negative, buckets that
 * are not whole numbers in ascending order, a `_count` that differs from the bucket for +Inf, an info whose value is
 * not 1, invalid bounds or quantiles, and a row that would have two labels `le` or `quantile`. The Prometheus text
 * format forbids only the last kind.
 *
 * @see OpenMetrics 1.0.0, Metric Types; client_python 0.16 `openmetrics/parser.py`
 */
export function countInvalidRows(family: Family): number {
  const rows = getRowsIfAllExposed(family, 'openmetrics')
  return family.order.length - (rows ?? runToEnd(findExposedRows(family, 'openmetrics'))).length
}

/**
 * Returns all rows of the family if its type alone guarantees that the format allows every row. Otherwise
 * returns `undefined`, and `findExposedRows` must check each row.
 */
export function getRowsIfAllExposed(family: Family, format: TextFormat): Uint32Array | undefined {
  const { type, order } = family
  if (type === 'gauge' || type === 'unknown') return order
  return format === 'text' && !isDistribution(type) ? order : undefined
}

/**
 * Checks each row of the family and returns those that the format allows, in the order in which they are
 * exposed.
 */
export function* findExposedRows(family: Family, format: TextFormat): Steps<Uint32Array> {
  const hasClash = yield* createClashCheck(family)
  // In both text formats, Prometheus rejects the whole scrape if a sample has the same label twice. So a row
  // that has its own label `le` or `quantile` is omitted if the format adds such a label.
  const rows = hasClash ? yield* filterRows(family.order, (row) => !hasClash(row)) : family.order
  return format === 'text' ? rows : yield* filterRows(rows, createRowCheck(family))
}

/**
 * Returns the families that a format exposes, sorted by their exposed name. If `families` contains the same
 * object twice, the result contains it once.
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
 * Returns the families that a format omits because another family has one of their names. The
 * one that sorts first by name, then by type, then by the given order is exposed. A family without rows
 * prevents no other family. The result does not depend on values, so that a family does not appear and
 * disappear with its values.
 *
 * In OpenMetrics, for example a gauge `x_count` collides with a summary `x`, and a gauge `x` with a counter
 * `x`. In the Prometheus text format, fewer families collide. For example, a gauge `x_total` beside a counter
 * `x` would repeat the line `# TYPE x_total`. Prometheus could reject the whole scrape if colliding families
 * were exposed.
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
    // An omitted family also reserves its names. So OpenMetrics omits every family that the text format omits.
    for (const name of names) taken.add(name)
  }
  return colliding
}

/** Returns the rows that pass the check. If all rows pass, returns the array `rows` itself. */
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

/** Creates the check whether OpenMetrics allows a row. */
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
  // A histogram with negative bounds is exposed without `_sum`, so the value of its sum is not checked.
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
    // A quantile value of NaN is valid: it means that the summary has no recent observations.
    for (let i = 0; i < bounds.length; i++) if (values[at + i]! < 0) return false
    return values[at + bounds.length]! >= 0 && isCount(values[at + bounds.length + 1]!)
  }
}

/**
 * Whether OpenMetrics allows `_sum` and `_count` for the family. OpenMetrics forbids both for a histogram with
 * negative bounds, because its sum can decrease.
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
 * Creates the check whether a row has a label with the same name as the label that the format adds to each
 * bucket or quantile: `le` or `quantile`. Returns `undefined` if no row has such a label.
 */
function* createClashCheck({ type, labels }: Family): Steps<RowCheck | undefined> {
  if (!isDistribution(type)) return undefined
  const added = type === 'histogram' ? 'le' : 'quantile'
  const text = `${added}="`
  const slab = getLabelBytes(labels)
  for (let start = 0; start < slab.length; start += SEARCH_BYTES) {
    if (start > 0) yield
    // The searched pieces overlap, so that the search also finds a label at the boundary of two pieces.
    if (slab.subarray(start, start + SEARCH_BYTES + text.length).includes(text)) {
      return (row) => parseLabelNames(getLabels(labels, row)).includes(added)
    }
  }
  return undefined
}

function parseLabelNames(labels: string): string[] {
  return Array.from(labels.matchAll(/([^=,]+)="(?:\\.|[^"\\])*"/gs), ([, name]) => name!)
}
