import type { Family } from '../../src/metrics/family.js'

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

/** The same family with nothing that could tell that it was rendered before. */
export function fresh(family: Family): Family {
  return { ...family, order: family.order.slice() }
}
