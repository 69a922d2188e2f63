import type { Family, LabelText } from './family.js'
import { labelStart, width } from './family.js'

export type FamilyMeta = Pick<Family, 'name' | 'type' | 'help' | 'unit' | 'bounds'>

/**
 * The rows of one metric family while it grows: columns of numbers and one slab of label text, so
 * that a series costs its label text and a few numbers, and nothing that is kept points into the
 * stanza it came from.
 */
export type Table = {
  readonly meta: FamilyMeta
  /** Values a row has, see `width` in family.ts. */
  readonly width: number
  /**
   * Adds a row, not exposed before `settle` has put it into its place.
   *
   * @param labels Label text as between the braces; copied.
   */
  append(labels: string): number
  /** Sets one value of a row; `column` counts from 0 to `width - 1`. */
  set(row: number, column: number, value: number): void
  /** Says when the row's metric was created, in seconds since 1970; NaN: not known. */
  setCreated(row: number, seconds: number): void
  /** Leaves the row out of what is exposed, or takes it in again: what was not said is missing. */
  setMissing(row: number, missing: boolean): void
  /** Sorts new rows in by label text. The cost is that of the new rows, so call it for a few at a time. */
  settle(): void
  /** Labels and values of one row, to compare with another reading of the same. */
  describe(row: number): string
  /** Rows that are left out: missing, or a second series with the same labels. */
  leftOut(): number
  /** The family as it is now, immutable; the same object until something changes. */
  snapshot(): Family
}

// As Node's own pool for small buffers: little, because one that is used holds the rest.
const POOL_LENGTH = 2048
const MAX_POOLED = POOL_LENGTH / 4
const NO_ORDER = new Uint32Array(0)

export function createTable(meta: FamilyMeta): Table {
  const rowWidth = width(meta)
  let bytes = Buffer.alloc(64)
  let ends = new Uint32Array(4)
  let values = new Float64Array(4 * rowWidth)
  let created: Float64Array | undefined
  let missing: Uint8Array | undefined
  let missingCount = 0
  let length = 0
  let settled = 0
  let order = NO_ORDER
  let duplicates = 0
  let snapshot: Family | undefined
  // What snapshots share until it changes: by that the exposition knows that only values differ.
  let shownOrder: Uint32Array | undefined
  let labels: LabelText | undefined
  let createdCopy: Float64Array | undefined

  function grow(): void {
    const capacity = ends.length * 2
    ends = copyInto(new Uint32Array(capacity), ends)
    values = copyInto(new Float64Array(capacity * rowWidth), values)
    if (created) created = copyInto(new Float64Array(capacity).fill(NaN), created)
    if (missing) missing = copyInto(new Uint8Array(capacity), missing)
  }

  function compare(a: number, b: number): number {
    return bytes.compare(bytes, labelStart(ends, b), ends[b], labelStart(ends, a), ends[a])
  }

  /** Where in `order` the row belongs, or -1 when a row with the same labels is there. */
  function placeOf(row: number): number {
    let low = 0
    let high = order.length
    while (low < high) {
      const middle = (low + high) >> 1
      const sign = compare(row, order[middle]!)
      if (sign === 0) return -1
      if (sign < 0) high = middle
      else low = middle + 1
    }
    return low
  }

  function settle(): void {
    if (settled === length) return
    const fresh = Uint32Array.from({ length: length - settled }, (_, i) => settled + i)
    settled = length
    // Of two rows with the same labels the first stays.
    fresh.sort((a, b) => compare(a, b) || a - b)
    const merged = new Uint32Array(order.length + fresh.length)
    let from = 0
    let to = 0
    let previous = -1
    for (const row of fresh) {
      const place = previous >= 0 && compare(previous, row) === 0 ? -1 : placeOf(row)
      if (place < 0) {
        duplicates++
        continue
      }
      merged.set(order.subarray(from, place), to)
      to += place - from
      from = place
      merged[to++] = row
      previous = row
    }
    merged.set(order.subarray(from), to)
    order = merged.subarray(0, to + order.length - from)
    shownOrder = labels = createdCopy = undefined
    snapshot = undefined
  }

  return {
    meta,
    width: rowWidth,

    append(labels) {
      if (length === ends.length) grow()
      const start = labelStart(ends, length)
      const end = start + Buffer.byteLength(labels)
      if (end > bytes.length) {
        bytes = copyInto(Buffer.allocUnsafeSlow(Math.max(end, bytes.length * 2)), bytes)
      }
      bytes.write(labels, start)
      ends[length] = end
      return length++
    },

    set(row, column, value) {
      const at = row * rowWidth + column
      if (Object.is(values[at], value)) return
      values[at] = value
      snapshot = undefined
    },

    setCreated(row, seconds) {
      if (!created && Number.isNaN(seconds)) return
      created ??= new Float64Array(ends.length).fill(NaN)
      if (Object.is(created[row], seconds)) return
      created[row] = seconds
      createdCopy = undefined
      snapshot = undefined
    },

    setMissing(row, isMissing) {
      if (!missing && !isMissing) return
      missing ??= new Uint8Array(ends.length)
      if (Boolean(missing[row]) === isMissing) return
      missing[row] = Number(isMissing)
      missingCount += isMissing ? 1 : -1
      shownOrder = undefined
      snapshot = undefined
    },

    settle,

    describe(row) {
      const labels = bytes.toString('utf8', labelStart(ends, row), ends[row])
      const numbers = values.subarray(row * rowWidth, (row + 1) * rowWidth)
      return `{${labels}} ${created?.[row] ?? NaN} ${missing?.[row] ? 'missing' : numbers.join(' ')}`
    },

    leftOut: () => duplicates + missingCount,

    snapshot() {
      settle()
      shownOrder ??= missingCount > 0 ? order.filter((row) => !missing?.[row]) : order
      labels ??= { bytes, ends }
      createdCopy ??= created?.slice(0, length)
      // Label text is only ever appended to, so it is shared; a row's values change, so they are copied.
      // Each name said: an object that is spread into another costs more than its values.
      return (snapshot ??= {
        name: meta.name,
        type: meta.type,
        help: meta.help,
        unit: meta.unit,
        bounds: meta.bounds,
        length,
        order: shownOrder,
        labels,
        values: copyOf(values, length * rowWidth),
        created: createdCopy,
      })
    },
  }
}

let pool = new Float64Array(0)
let pooled = 0

/** The first values; a few in a buffer with others, as a buffer costs more than they do. */
function copyOf(values: Float64Array, length: number): Float64Array {
  if (length > MAX_POOLED) return values.slice(0, length)
  if (pooled + length > pool.length) {
    pool = new Float64Array(POOL_LENGTH)
    pooled = 0
  }
  const copy = pool.subarray(pooled, (pooled += length))
  for (let i = 0; i < length; i++) copy[i] = values[i]!
  return copy
}

function copyInto<T extends { set(from: ArrayLike<number>): void }>(
  target: T,
  from: ArrayLike<number>,
): T {
  target.set(from)
  return target
}
