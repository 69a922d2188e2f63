import type { Family } from './family.js'
import type { LabelText } from './labels.js'
import { width } from './family.js'
import { labelStart } from './labels.js'

export type FamilyMeta = Pick<Family, 'name' | 'type' | 'help' | 'unit' | 'bounds'>

/**
 * The rows of one metric family while it grows: columns of numbers, and one buffer with the text of
 * all labels. A series costs its label text and a few numbers, and no string of the stanza that it
 * came from stays in memory.
 */
export type Table = {
  readonly meta: FamilyMeta
  /** The number of values of a row, see `width` in family.ts. */
  readonly width: number
  /**
   * Adds a row. It is exposed only after `settle` has sorted it in.
   *
   * @param labels The label text as between the braces; copied.
   */
  append(labels: string): number
  /** Sets one value of a row; `column` counts from 0 to `width - 1`. */
  set(row: number, column: number, value: number): void
  /** Sets when the row's metric was created, in seconds since 1970; NaN: unknown. */
  setCreated(row: number, seconds: number): void
  /** Omits the row from the snapshots, or includes it again. A row is missing if the source did not report it. */
  setMissing(row: number, missing: boolean): void
  /** Sorts the new rows in by label text. The cost is that of the new rows, so call it for a few at a time. */
  settle(): void
  /** Returns the labels and values of one row as text, to compare them with another result. */
  describe(row: number): string
  /** The number of omitted rows: those that are missing, and second series with the same labels. */
  leftOut(): number
  /** Returns the family as it is now, immutable; the same object until something changes. */
  snapshot(): Family
}

/** All rows, in the order of their arrival. The arrays are longer than `length`. */
type Columns = {
  readonly width: number
  length: number
  /** The label text of all rows. It is only ever appended to. */
  bytes: Buffer<ArrayBuffer>
  /** Where the label text of each row ends. */
  ends: Uint32Array<ArrayBuffer>
  values: Float64Array<ArrayBuffer>
  created: Float64Array<ArrayBuffer> | undefined
  missing: Uint8Array<ArrayBuffer> | undefined
  missingCount: number
}

export function createTable(meta: FamilyMeta): Table {
  const columns = createColumns(width(meta))
  const textCache = new Map<string, unknown>()
  let settled = 0
  let order = new Uint32Array(0)
  let duplicates = 0
  // What consecutive snapshots share until it changes.
  let snapshot: Family | undefined
  let exposedOrder: Uint32Array | undefined
  let labels: LabelText | undefined
  let created: Float64Array | undefined

  function settle(): void {
    const { length } = columns
    if (settled === length) return
    const merged = mergeRows(columns, order, settled)
    duplicates += order.length + length - settled - merged.length
    order = merged
    settled = length
    snapshot = exposedOrder = labels = created = undefined
  }

  return {
    meta,
    width: columns.width,
    append: (text) => appendRow(columns, text),

    set(row, column, value) {
      const at = row * columns.width + column
      if (Object.is(columns.values[at], value)) return
      columns.values[at] = value
      snapshot = undefined
    },

    setCreated(row, seconds) {
      if (!columns.created && Number.isNaN(seconds)) return
      columns.created ??= new Float64Array(columns.ends.length).fill(NaN)
      if (Object.is(columns.created[row], seconds)) return
      columns.created[row] = seconds
      snapshot = created = undefined
    },

    setMissing(row, missing) {
      if (!columns.missing && !missing) return
      columns.missing ??= new Uint8Array(columns.ends.length)
      if (Boolean(columns.missing[row]) === missing) return
      columns.missing[row] = Number(missing)
      columns.missingCount += missing ? 1 : -1
      snapshot = exposedOrder = undefined
    },

    settle,
    describe: (row) => describeRow(columns, row),
    leftOut: () => duplicates + columns.missingCount,

    snapshot() {
      settle()
      const { length, bytes, ends, values, missing, missingCount } = columns
      exposedOrder ??= missingCount > 0 ? order.filter((row) => !missing?.[row]) : order
      labels ??= { bytes, ends }
      created ??= columns.created?.slice(0, length)
      // The label text is shared. The values of a row change, so they are copied. Spreading `meta`
      // would cost more than copying a few values.
      return (snapshot ??= {
        name: meta.name,
        type: meta.type,
        help: meta.help,
        unit: meta.unit,
        bounds: meta.bounds,
        length,
        order: exposedOrder,
        labels,
        values: values.slice(0, length * columns.width),
        created,
        textCache,
      })
    },
  }
}

function createColumns(rowWidth: number): Columns {
  return {
    width: rowWidth,
    length: 0,
    bytes: Buffer.alloc(64),
    ends: new Uint32Array(4),
    values: new Float64Array(4 * rowWidth),
    created: undefined,
    missing: undefined,
    missingCount: 0,
  }
}

function appendRow(columns: Columns, labels: string): number {
  if (columns.length === columns.ends.length) grow(columns)
  const { length, bytes } = columns
  const start = labelStart(columns.ends, length)
  const end = start + Buffer.byteLength(labels)
  if (end > bytes.length) {
    columns.bytes = copyInto(Buffer.allocUnsafeSlow(Math.max(end, bytes.length * 2)), bytes)
  }
  columns.bytes.write(labels, start)
  columns.ends[length] = end
  return columns.length++
}

function grow(columns: Columns): void {
  const { ends, values, created, missing } = columns
  const capacity = ends.length * 2
  columns.ends = copyInto(new Uint32Array(capacity), ends)
  columns.values = copyInto(new Float64Array(capacity * columns.width), values)
  if (created) columns.created = copyInto(new Float64Array(capacity).fill(NaN), created)
  if (missing) columns.missing = copyInto(new Uint8Array(capacity), missing)
}

/** Returns the rows of `order` and the rows from `firstNew` on, sorted by their labels, each label set once. */
function mergeRows(
  columns: Columns,
  order: Uint32Array<ArrayBuffer>,
  firstNew: number,
): Uint32Array<ArrayBuffer> {
  const added = Uint32Array.from({ length: columns.length - firstNew }, (_, i) => firstNew + i)
  // If two rows have the same labels, the first one stays.
  added.sort((a, b) => compareLabels(columns, a, b) || a - b)
  const merged = new Uint32Array(order.length + added.length)
  let from = 0
  let to = 0
  let previous = -1
  for (const row of added) {
    const isRepeated = previous >= 0 && compareLabels(columns, previous, row) === 0
    const place = isRepeated ? -1 : placeOf(columns, order, row)
    if (place < 0) continue
    merged.set(order.subarray(from, place), to)
    to += place - from
    from = place
    merged[to++] = row
    previous = row
  }
  merged.set(order.subarray(from), to)
  return merged.subarray(0, to + order.length - from)
}

/** Returns where in `order` the row belongs, or -1 if a row with the same labels is there. */
function placeOf(columns: Columns, order: Uint32Array, row: number): number {
  let low = 0
  let high = order.length
  while (low < high) {
    const middle = (low + high) >> 1
    const sign = compareLabels(columns, row, order[middle]!)
    if (sign === 0) return -1
    if (sign < 0) high = middle
    else low = middle + 1
  }
  return low
}

function compareLabels({ bytes, ends }: Columns, a: number, b: number): number {
  return bytes.compare(bytes, labelStart(ends, b), ends[b], labelStart(ends, a), ends[a])
}

function describeRow(columns: Columns, row: number): string {
  const { bytes, ends, values, created, missing } = columns
  const labels = bytes.toString('utf8', labelStart(ends, row), ends[row])
  const numbers = values.subarray(row * columns.width, (row + 1) * columns.width)
  return `{${labels}} ${created?.[row] ?? NaN} ${missing?.[row] ? 'missing' : numbers.join(' ')}`
}

function copyInto<T extends { set(from: ArrayLike<number>): void }>(
  target: T,
  from: ArrayLike<number>,
): T {
  target.set(from)
  return target
}
