import type { Family, MetricType } from '../metrics/family.js'

/** Prometheus text format 0.0.4, or OpenMetrics 1.0.0. */
export type Format = 'text' | 'openmetrics'

// OpenMetrics 1.0.0, Text format, MetricFamily types. The family's own name is reserved by each of them too.
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
 * The name on the family's metadata lines.
 *
 * The text format has no suffix rules of its own: there a counter's family is named as its samples,
 * `x_total`, and an info is a gauge `x_info`. A counter that its source calls `x_total` is not
 * stripped: it is exposed as `x_total_total`, which is what mod_http_openmetrics gives for it.
 */
export function exposedName({ name, type }: Pick<Family, 'name' | 'type'>, format: Format): string {
  if (format === 'text' && type === 'counter') return `${name}_total`
  if (format === 'text' && type === 'info') return `${name}_info`
  return name
}

/**
 * Whether a choice of families by name takes this one: by its name in the text format or in
 * OpenMetrics. No choice, or one of nothing, takes all.
 */
export function isAskedFor(
  family: Pick<Family, 'name' | 'type'>,
  names: ReadonlySet<string> | undefined,
): boolean {
  if (names === undefined || names.size === 0) return true
  return names.has(exposedName(family, 'text')) || names.has(family.name)
}

/** Every name that OpenMetrics reserves for the family, whether or not it has such a sample now. */
export function reservedNames({ name, type }: Pick<Family, 'name' | 'type'>): string[] {
  return [name, ...OPENMETRICS_SUFFIXES[type].map((suffix) => name + suffix)]
}

/** Every name that its family or a sample has in the text format. */
export function textNames(family: Pick<Family, 'name' | 'type'>): string[] {
  const name = exposedName(family, 'text')
  return [name, ...(TEXT_SUFFIXES[family.type] ?? []).map((suffix) => name + suffix)]
}

/** Order of ASCII names, the same whatever the locale. */
export function compareNames(a: string, b: string): number {
  return a < b ? -1 : Number(a > b)
}
