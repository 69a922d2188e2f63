import type { ValueFormat } from './charts.js'
import { formatNumber } from './format-values.js'

const PREFIXES = ['', 'k', 'M', 'G', 'T']

/** Formats a value of a chart, for example `12`, `34.5 MB` or `6 %`. An unknown value becomes a dash. */
export function formatTrack(format: ValueFormat, value: number | null | undefined): string {
  if (value === null || value === undefined) return formatNumber(undefined)
  if (format === 'percent') return `${formatNumber(value * 100)} %`
  if (format === 'number') return formatNumber(value)
  let [scaled, prefix] = [value, 0]
  while (scaled >= 1000 && prefix < PREFIXES.length - 1) {
    scaled /= 1000
    prefix++
  }
  return `${formatNumber(scaled)} ${PREFIXES[prefix]}B`
}
