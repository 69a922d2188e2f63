import type { Family, MetricType } from '../../src/metrics/family.js'

export type Row = {
  readonly labels?: string
  readonly values: readonly number[]
  readonly created?: number
}

/** Creates a metric family of any type. The rows keep the given order. */
export function makeFamily(
  meta: Pick<Family, 'name' | 'type'> & Partial<Pick<Family, 'help' | 'unit' | 'bounds'>>,
  rows: readonly Row[],
): Family {
  const texts = rows.map(({ labels = '' }) => Buffer.from(labels))
  let end = 0
  return {
    help: '',
    unit: '',
    bounds: [],
    ...meta,
    length: rows.length,
    order: Uint32Array.from(rows.keys()),
    labels: {
      bytes: Buffer.concat(texts),
      ends: Uint32Array.from(texts, (t) => (end += t.length)),
    },
    values: Float64Array.from(rows.flatMap(({ values }) => values)),
    created: rows.some(({ created }) => created !== undefined)
      ? Float64Array.from(rows, ({ created = NaN }) => created)
      : undefined,
  }
}

/**
 * Creates a metric family `x` with the given number of rows. `value` is the value of each row. For a histogram,
 * bucket counts, sum and count are calculated from `value`.
 */
export function many(
  type: MetricType,
  rows: number,
  value: number | ((row: number) => number),
): Family {
  const bounds = type === 'histogram' ? [1, 2, Infinity] : []
  const valueAt = (row: number) => (typeof value === 'number' ? value : value(row))
  return makeFamily(
    { name: 'x', type, bounds },
    Array.from({ length: rows }, (_, row) => ({
      labels: `row="${row}"`,
      values:
        type === 'histogram'
          ? [valueAt(row), valueAt(row) * 2, valueAt(row) * 3, valueAt(row) / 2, valueAt(row) * 3]
          : [valueAt(row)],
    })),
  )
}

/** Creates `count` metric families of type gauge with one row each. */
export function manyFamilies(count: number, help = ''): Family[] {
  return Array.from({ length: count }, (_, i) =>
    makeFamily({ name: `x${i}`, type: 'gauge', help }, [{ values: [i] }]),
  )
}
