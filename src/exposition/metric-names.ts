import type { Family, MetricType } from '../metrics/family.js'

/** The Prometheus text format 0.0.4, or OpenMetrics 1.0.0. */
export type TextFormat = 'text' | 'openmetrics'

// The suffixes that each type reserves in OpenMetrics 1.0.0 ("Text format", "MetricFamily types"). Each type
// also reserves the name of the family without a suffix.
const OPENMETRICS_SUFFIXES: Readonly<Record<MetricType, readonly string[]>> = {
  counter: ['_total', '_created'],
  gauge: [],
  histogram: ['_bucket', '_count', '_sum', '_created'],
  summary: ['_count', '_sum', '_created'],
  info: ['_info'],
  unknown: [],
}

const TEXT_SUFFIXES: Readonly<Partial<Record<MetricType, readonly string[]>>> = {
  histogram: ['_bucket', '_count', '_sum'],
  summary: ['_count', '_sum'],
}

/**
 * Returns the name of a family on its lines `# HELP`, `# TYPE` and `# UNIT`.
 *
 * In the Prometheus text format, a counter family has the name of its samples, `x_total`, and an info family is
 * a gauge named `x_info`. If a counter is called `x_total` in Prosody, it is exposed as `x_total_total`, as in
 * mod_http_openmetrics.
 */
export function getExposedName(
  { name, type }: Pick<Family, 'name' | 'type'>,
  format: TextFormat,
): string {
  if (format === 'text' && type === 'counter') return `${name}_total`
  if (format === 'text' && type === 'info') return `${name}_info`
  return name
}

/**
 * Whether `names` contains the name of the family in the Prometheus text format or in OpenMetrics. An undefined
 * or empty `names` selects every family.
 */
export function isSelected(
  family: Pick<Family, 'name' | 'type'>,
  names: ReadonlySet<string> | undefined,
): boolean {
  if (names === undefined || names.size === 0) return true
  return names.has(getExposedName(family, 'text')) || names.has(family.name)
}

/**
 * Returns the names that no other family may use. In OpenMetrics, these are all names that the type of the
 * family reserves, even if no sample has such a name. In the Prometheus text format, these are the name of the
 * family and the names of its samples.
 */
export function listTakenNames(
  family: Pick<Family, 'name' | 'type'>,
  format: TextFormat,
): string[] {
  const name = getExposedName(family, format)
  const suffixes = (format === 'text' ? TEXT_SUFFIXES : OPENMETRICS_SUFFIXES)[family.type] ?? []
  return [name, ...suffixes.map((suffix) => name + suffix)]
}

/** Compares names by their UTF-16 code units, so that the order of families does not depend on the locale. */
export function compareNames(a: string, b: string): number {
  return a < b ? -1 : Number(a > b)
}
