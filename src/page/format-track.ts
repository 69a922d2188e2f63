import type { ValueFormat } from './charts.js'
import { formatBytes, formatNumber } from './format-values.js'

/** Formats a value of a chart, for example `12`, `132 MB` or `6 %`. An unknown value becomes a dash. */
export function formatTrack(format: ValueFormat, value: number | null | undefined): string {
  if (value === null || value === undefined) return formatNumber(undefined)
  if (format === 'bytes') return formatBytes(value)
  return format === 'percent' ? `${formatNumber(value * 100)} %` : formatNumber(value)
}
