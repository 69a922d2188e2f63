import type { Family } from '../metrics/family.js'
import { hasCounts, labelsOf, slabOf, width } from '../metrics/family.js'
import { compareNames, reservedNames, textNames, type Format } from './metric-names.js'
import { atOnce, type Steps } from './slices.js'

const ROWS_PER_STEP = 4096
const SEARCH_BYTES = 1 << 20

/**
 * How many rows OpenMetrics forbids, so that only the other formats carry them: a NaN or negative
 * counter, count or sum, buckets that are no whole numbers or fall, a `_count` that is not the +Inf
 * bucket, an info that is not 1. Counted once for a family object.
 *
 * @see OpenMetrics 1.0.0, Metric Types; client_python 0.16 `openmetrics/parser.py`
 */
export function invalidRows(family: Family): number {
  return family.order.length - exposableRows(family, 'openmetrics').length
}

/** Rows a format can carry, in the order in which they are exposed. */
export function exposableRows(family: Family, format: Format): Uint32Array {
  return rowsOfSmall(family) ?? atOnce(exposableSteps(family, format))
}

/**
 * All rows of a family of which any format carries all and which is looked through in one step;
 * `undefined` says nothing. Kept nowhere: a snapshot has new objects for all that changed.
 */
export function rowsOfSmall(family: Family): Uint32Array | undefined {
  const { order, values } = family
  if (order.length > ROWS_PER_STEP || !mayAllBeExposable(family)) return undefined
  return family.type !== 'counter' || isAllAtLeast0(values, 0, values.length) ? order : undefined
}

/** `exposableRows` in steps; what it comes to is remembered with the family. */
export function* exposableSteps(family: Family, format: Format): Steps<Uint32Array> {
  const known = (format === 'text' ? textRows : openMetricsRows).get(family)
  if (known) return known
  const { order } = family
  const isAll = yield* isAllExposable(family)
  // A label twice on one line costs Prometheus the whole scrape, in either format.
  const text = isAll ? order : yield* without(order, yield* labelClash(family))
  const openMetrics = isAll ? order : yield* without(text, (row) => !isValid(family, row))
  textRows.set(family, text)
  openMetricsRows.set(family, openMetrics)
  return format === 'text' ? text : openMetrics
}

const textRows = new WeakMap<Family, Uint32Array>()
const openMetricsRows = new WeakMap<Family, Uint32Array>()

/**
 * Families left out of OpenMetrics, because an earlier one may have samples of the same name: a
 * gauge `x_count` beside a summary `x`, a gauge `x` beside a counter `x`. Earlier is by name, then by
 * type, then as given; a family without rows is in nobody's way. It depends on no value, so a family
 * does not come and go.
 *
 * @see OpenMetrics 1.0.0, MetricFamily, Suffixes: no "potential clash for sample metric names"
 */
export function collisions(families: readonly Family[]): ReadonlySet<Family> {
  return clashing(families, reservedNames)
}

/**
 * Those of `collisions` that are left out of text too: a second family of the same name there, as a
 * gauge `x_total` beside a counter `x`, would repeat `# TYPE x_total`, and Prometheus's parser takes
 * `# TYPE x_count` after a summary `x` for a second one of `x`. Readers may refuse that together with
 * all the rest.
 */
export function textCollisions(families: readonly Family[]): ReadonlySet<Family> {
  return clashing(families, textNames)
}

function clashing(
  families: readonly Family[],
  namesOf: (family: Family) => readonly string[],
): ReadonlySet<Family> {
  const taken = new Set<string>()
  const left = new Set<Family>()
  const inOrder = [...new Set(families)]
    .filter(({ order }) => order.length > 0)
    .sort((a, b) => compareNames(a.name, b.name) || compareNames(a.type, b.type))
  for (const family of inOrder) {
    const names = namesOf(family)
    if (names.some((name) => taken.has(name))) left.add(family)
    // Names of a family that is left out stay taken: what is left out of text is then always left
    // out of OpenMetrics as well.
    for (const name of names) taken.add(name)
  }
  return left
}

/** The same array where nothing is to be dropped. */
function* without(rows: Uint32Array, isDropped: (row: number) => boolean): Steps<Uint32Array> {
  let kept: Uint32Array | undefined
  let length = 0
  for (let i = 0; i < rows.length; i++) {
    const row = rows[i]!
    if (i % ROWS_PER_STEP === ROWS_PER_STEP - 1) yield
    if (isDropped(row)) {
      // A copy of those so far, with room for all.
      kept ??= rows.slice()
    } else {
      if (kept) kept[length] = row
      length++
    }
  }
  return kept?.slice(0, length) ?? rows
}

/** Whether any format can carry all rows, as it mostly is; `false` says nothing. */
function* isAllExposable(family: Family): Steps<boolean> {
  const { type, values } = family
  if (!mayAllBeExposable(family)) return false
  for (let start = 0; type === 'counter' && start < values.length; start += ROWS_PER_STEP) {
    if (start > 0) yield
    if (!isAllAtLeast0(values, start, start + ROWS_PER_STEP)) return false
  }
  return true
}

/** Whether its values alone can say that any format carries all rows. */
function mayAllBeExposable({ type }: Family): boolean {
  return type === 'counter' || type === 'gauge' || type === 'unknown'
}

function isAllAtLeast0(values: Float64Array, start: number, end: number): boolean {
  const stop = Math.min(end, values.length)
  for (let i = start; i < stop; i++) if (!(values[i]! >= 0)) return false
  return true
}

function isValid(family: Family, row: number): boolean {
  const { type, values } = family
  const at = row * width(family)
  switch (type) {
    case 'counter':
      return values[at]! >= 0
    case 'info':
      return values[at] === 1
    case 'histogram':
      return isValidHistogram(family, at)
    case 'summary':
      return isValidSummary(family, at)
    case 'gauge':
    case 'unknown':
      return true
  }
}

function isValidHistogram({ bounds, values }: Family, at: number): boolean {
  const last = bounds.length - 1
  if (bounds[last] !== Infinity || !isAscending(bounds)) return false
  for (let i = 0; i <= last; i++) {
    const bucket = values[at + i]!
    if (!isCount(bucket) || (i > 0 && bucket < values[at + i - 1]!)) return false
  }
  // With negative bounds there is no _sum, see `hasSum`: it may be what it likes.
  const sumIsValid = values[at + last + 1]! >= 0 || !hasSum({ bounds, type: 'histogram' })
  return sumIsValid && values[at + last + 2] === values[at + last]
}

function isValidSummary({ bounds, values }: Family, at: number): boolean {
  const outside = bounds.some((quantile) => !(quantile >= 0 && quantile <= 1))
  if (outside || !isAscending(bounds)) return false
  // A quantile is NaN where nothing has been observed.
  for (let i = 0; i < bounds.length; i++) if (values[at + i]! < 0) return false
  return values[at + bounds.length]! >= 0 && isCount(values[at + bounds.length + 1]!)
}

/**
 * Whether OpenMetrics wants the family's `_sum` and `_count`: not those of a histogram of negative
 * numbers, whose sum may fall.
 *
 * @see OpenMetrics 1.0.0, Histogram: no Sum with negative buckets; `_count` if and only if `_sum`
 */
export function hasSum({ type, bounds }: Pick<Family, 'type' | 'bounds'>): boolean {
  return type !== 'histogram' || bounds.every((bound) => bound >= 0)
}

function isCount(value: number): boolean {
  return value >= 0 && Number.isInteger(value)
}

function isAscending(bounds: readonly number[]): boolean {
  return bounds.every((bound, i) => i === 0 || bound > bounds[i - 1]!)
}

/** Finds rows that themselves have the label which the format adds to each bucket or quantile. */
function* labelClash({ type, labels }: Family): Steps<(row: number) => boolean> {
  if (!hasCounts(type)) return () => false
  const added = type === 'histogram' ? 'le' : 'quantile'
  const text = `${added}="`
  const slab = slabOf(labels)
  for (let start = 0; start < slab.length; start += SEARCH_BYTES) {
    if (start > 0) yield
    // A text that a piece's end cuts in two is whole in this one.
    if (slab.subarray(start, start + SEARCH_BYTES + text.length).includes(text)) {
      return (row) => labelNames(labelsOf(labels, row)).includes(added)
    }
  }
  return () => false
}

function labelNames(labels: string): string[] {
  return Array.from(labels.matchAll(/([^=,]+)="(?:\\.|[^"\\])*"/gs), ([, name]) => name!)
}
