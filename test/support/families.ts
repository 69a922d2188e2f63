import type { Family, MetricType } from '../../src/metrics/family.js'

export type Row = {
  readonly labels?: string
  readonly values: readonly number[]
  readonly created?: number
}

/** A family of any type, in the order given. */
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

/** A family `x` of so many rows; a row's value, which all that a histogram has is made of, may be told. */
export function many(
  type: MetricType,
  rows: number,
  value: number | ((row: number) => number),
): Family {
  const bounds = type === 'histogram' ? [1, 2, Infinity] : []
  const of = (row: number) => (typeof value === 'number' ? value : value(row))
  return makeFamily(
    { name: 'x', type, bounds },
    Array.from({ length: rows }, (_, row) => ({
      labels: `row="${row}"`,
      values:
        type === 'histogram'
          ? [of(row), of(row) * 2, of(row) * 3, of(row) / 2, of(row) * 3]
          : [of(row)],
    })),
  )
}

/** So many gauges of one row each. */
export function manyFamilies(count: number, help = ''): Family[] {
  return Array.from({ length: count }, (_, i) =>
    makeFamily({ name: `x${i}`, type: 'gauge', help }, [{ values: [i] }]),
  )
}
