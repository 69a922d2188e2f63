import {
  isDistribution,
  countValuesPerRow,
  type Family,
  type MetricType,
} from '../../src/metrics/family.js'
import { getLabels } from '../../src/metrics/labels.js'
import type { ExpositionOptions } from '../../src/exposition/exposition.js'
import { getExposedName, isSelected, type TextFormat } from '../../src/exposition/metric-names.js'
import { formatBound, formatValue } from '../../src/exposition/number.js'
import { runToEnd } from '../../src/exposition/slices.js'
import {
  listExposedFamilies,
  findExposedRows,
  hasSumAndCount,
} from '../../src/exposition/validity.js'

const UNTYPED: Partial<Record<MetricType, string>> = { info: 'gauge', unknown: 'untyped' }

/**
 * Renders the text format and OpenMetrics line by line with strings, in a simple way. Tests require that the
 * exporter's encoder gives the same bytes.
 */
export function referenceText(
  families: readonly Family[],
  format: TextFormat,
  { created, names }: ExpositionOptions,
): string {
  const lines = listExposedFamilies(families, format)
    .filter((family) => isSelected(family, names))
    .flatMap((family) => {
      const rows = Array.from(runToEnd(findExposedRows(family, format)))
      const samples = rows.flatMap((row) => samplesOf(family, row, format, created))
      return rows.length > 0 ? [...metadataOf(family, format), ...samples] : []
    })
  return [...lines, ...(format === 'openmetrics' ? ['# EOF'] : [])].map((l) => `${l}\n`).join('')
}

function metadataOf(family: Family, format: TextFormat): string[] {
  const { type, unit } = family
  const name = getExposedName(family, format)
  const help = family.help.split('\\').join('\\\\').split('\n').join('\\n')
  if (format === 'text') {
    return [
      ...(help === '' ? [] : [`# HELP ${name} ${help}`]),
      `# TYPE ${name} ${UNTYPED[type] ?? type}`,
    ]
  }
  return [
    `# TYPE ${name} ${type}`,
    ...(unit !== '' && type !== 'info' && name.endsWith(`_${unit}`)
      ? [`# UNIT ${name} ${unit}`]
      : []),
    ...(help === '' ? [] : [`# HELP ${name} ${help.split('"').join('\\"')}`]),
  ]
}

function samplesOf(family: Family, row: number, format: TextFormat, created: boolean): string[] {
  const { name, type, bounds, values, timestampMs } = family
  const own = getLabels(family.labels, row)
  const time = timestampMs === undefined ? [] : [timestampMs / (format === 'text' ? 1 : 1000)]
  const line = (sample: string, value: number, label = '') => {
    const labels = [own, label].filter((text) => text !== '').join(',')
    const braces = labels === '' ? '' : `{${labels}}`
    return [`${sample}${braces}`, ...[value, ...time].map(formatValue)].join(' ')
  }
  const seconds = family.created?.[row] ?? NaN
  const hasCreated = created && format === 'openmetrics' && Number.isFinite(seconds)
  const createdLines = hasCreated ? [line(`${name}_created`, seconds)] : []
  const at = row * countValuesPerRow(family)
  if (!isDistribution(type)) {
    const sample = line(getExposedName(family, 'text'), values[at]!)
    return [sample, ...(type === 'counter' ? createdLines : [])]
  }
  const [main, label] = type === 'histogram' ? [`${name}_bucket`, 'le'] : [name, 'quantile']
  return [
    ...bounds.map((bound, i) => line(main, values[at + i]!, `${label}="${formatBound(bound)}"`)),
    ...(format === 'text' || hasSumAndCount(family)
      ? [
          line(`${name}_count`, values[at + bounds.length + 1]!),
          line(`${name}_sum`, values[at + bounds.length]!),
        ]
      : []),
    ...createdLines,
  ]
}
