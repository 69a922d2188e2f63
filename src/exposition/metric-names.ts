import type { Family, MetricType } from '../metrics/family.js'

/** The Prometheus text format 0.0.4, or OpenMetrics 1.0.0. */
export type TextFormat = 'text' | 'openmetrics'

// OpenMetrics 1.0.0, Text format, MetricFamily types. Each type also reserves the family's own name.
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
 * Returns the name on the family's metadata lines.
 *
 * The text format has no suffix rules of its own: a counter's family there has the name of its
 * samples, `x_total`, and an info is a gauge `x_info`. A counter that its source calls `x_total`
 * keeps that name and is exposed as `x_total_total`, as in mod_http_openmetrics.
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
 * Whether a selection by name contains the family: by its name in the text format or in OpenMetrics.
 * No selection, or an empty one, contains every family.
 */
export function isSelected(
  family: Pick<Family, 'name' | 'type'>,
  names: ReadonlySet<string> | undefined,
): boolean {
  if (names === undefined || names.size === 0) return true
  return names.has(getExposedName(family, 'text')) || names.has(family.name)
}

/**
 * Returns the names that a family takes in a format. In OpenMetrics these are all names that the
 * family's type reserves, whether or not a sample has the name; in the text format these are the
 * names of its samples.
 */
export function listTakenNames(
  family: Pick<Family, 'name' | 'type'>,
  format: TextFormat,
): string[] {
  const name = getExposedName(family, format)
  const suffixes = (format === 'text' ? TEXT_SUFFIXES : OPENMETRICS_SUFFIXES)[family.type] ?? []
  return [name, ...suffixes.map((suffix) => name + suffix)]
}

/** Compares ASCII names, independently of the locale. */
export function compareNames(a: string, b: string): number {
  return a < b ? -1 : Number(a > b)
}
