import { copyInto } from './copy-into.js'
import { type Family, countValuesPerRow } from './family.js'
import { type LabelText, getLabelStart } from './labels.js'

export type FamilyMeta = Pick<Family, 'name' | 'type' | 'help' | 'unit' | 'bounds'>

/**
 * Collects the rows of one metric family. A table consists of columns of numbers, and of one buffer with the
 * label text of all rows. So a row needs little memory, and no string of the stanza that contained the row
 * stays in memory.
 */
export type Table = {
  readonly meta: FamilyMeta
  readonly valuesPerRow: number
  /**
   * Adds a row. Later snapshots expose it, unless an earlier row has the same labels.
   *
   * @param labels The label text, for example `host="a",type="b"`. The table copies the text.
   * @returns The number of the row.
   */
  append(labels: string): number
  /** Sets one value of a row. `column` is from 0 to `valuesPerRow - 1`. */
  set(row: number, column: number, value: number): void
  /** Sets when the metric of a row was created, in seconds since 1970. NaN means that the time is unknown. */
  setCreated(row: number, seconds: number): void
  /**
   * Sets whether a row is missing, which means that the source reported no number for it. Snapshots omit missing rows.
   */
  setMissing(row: number, missing: boolean): void
  /** Inserts the rows that were added since the last call into the order of the label texts. */
  sortNewRows(): void
  /** Returns the labels, creation time and values of a row as text, so that two results can be compared. */
  describe(row: number): string
  /** Returns how many rows the snapshots omit: missing rows, and rows whose labels an earlier row has. */
  countOmittedRows(): number
  /**
   * Returns an immutable copy of the current family. Calls without a change in between return the same object.
   */
  snapshot(): Family
}

/**
 * All rows of a table, in the order in which they were added. The arrays can hold more than `length` rows.
 */
type Columns = {
  readonly valuesPerRow: number
  length: number
  /** The label texts of all rows. Written bytes never change, because snapshots share this buffer. */
  bytes: Buffer<ArrayBuffer>
  /** The position in `bytes` at which the label text of each row ends. */
  ends: Uint32Array<ArrayBuffer>
  values: Float64Array<ArrayBuffer>
  created: Float64Array<ArrayBuffer> | undefined
  missing: Uint8Array<ArrayBuffer> | undefined
  missingCount: number
}

export function createTable(meta: FamilyMeta): Table {
  const columns = createColumns(countValuesPerRow(meta))
  const textCache = new Map<string, unknown>()
  let settled = 0
  let order = new Uint32Array(0)
  let duplicates = 0
  // Consecutive snapshots share each of these objects until its content changes.
  let snapshot: Family | undefined
  let exposedOrder: Uint32Array | undefined
  let labels: LabelText | undefined
  let created: Float64Array | undefined

  function sortNewRows(): void {
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
    valuesPerRow: columns.valuesPerRow,
    append: (text) => appendRow(columns, text),

    set(row, column, value) {
      const at = row * columns.valuesPerRow + column
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

    sortNewRows,
    describe: (row) => describeRow(columns, row),
    countOmittedRows: () => duplicates + columns.missingCount,

    snapshot() {
      sortNewRows()
      const { length, bytes, ends, values, missing, missingCount } = columns
      exposedOrder ??= missingCount > 0 ? order.filter((row) => !missing?.[row]) : order
      labels ??= { bytes, ends }
      created ??= columns.created?.slice(0, length)
      // The snapshot copies the values, because they change in the table. It shares the label texts, which do
      // not change. The fields of `meta` are listed one by one, because a spread is slower.
      return (snapshot ??= {
        name: meta.name,
        type: meta.type,
        help: meta.help,
        unit: meta.unit,
        bounds: meta.bounds,
        length,
        order: exposedOrder,
        labels,
        values: values.slice(0, length * columns.valuesPerRow),
        created,
        textCache,
      })
    },
  }
}

function createColumns(valuesPerRow: number): Columns {
  return {
    valuesPerRow,
    length: 0,
    bytes: Buffer.alloc(64),
    ends: new Uint32Array(4),
    values: new Float64Array(4 * valuesPerRow),
    created: undefined,
    missing: undefined,
    missingCount: 0,
  }
}

function appendRow(columns: Columns, labels: string): number {
  if (columns.length === columns.ends.length) grow(columns)
  const { length, bytes } = columns
  const start = getLabelStart(columns.ends, length)
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
  columns.values = copyInto(new Float64Array(capacity * columns.valuesPerRow), values)
  if (created) columns.created = copyInto(new Float64Array(capacity).fill(NaN), created)
  if (missing) columns.missing = copyInto(new Uint8Array(capacity), missing)
}

/**
 * Returns the rows of `order` and all rows from number `firstNew` on, sorted by label text. If several
 * rows have the same labels, only the first one is included.
 */
function mergeRows(
  columns: Columns,
  order: Uint32Array<ArrayBuffer>,
  firstNew: number,
): Uint32Array<ArrayBuffer> {
  const added = Uint32Array.from({ length: columns.length - firstNew }, (_, i) => firstNew + i)
  // Rows with the same labels are sorted by their number, so that the loop keeps the row that was added first.
  added.sort((a, b) => compareLabels(columns, a, b) || a - b)
  const merged = new Uint32Array(order.length + added.length)
  let from = 0
  let to = 0
  let previous = -1
  for (const row of added) {
    const isRepeated = previous >= 0 && compareLabels(columns, previous, row) === 0
    const place = isRepeated ? -1 : findPlace(columns, order, row)
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

/**
 * Returns the position at which the row must be inserted into `order`, or -1 if `order` has a row with the same
 * labels.
 */
function findPlace(columns: Columns, order: Uint32Array, row: number): number {
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
  return bytes.compare(bytes, getLabelStart(ends, b), ends[b], getLabelStart(ends, a), ends[a])
}

function describeRow(columns: Columns, row: number): string {
  const { bytes, ends, values, created, missing } = columns
  const labels = bytes.toString('utf8', getLabelStart(ends, row), ends[row])
  const numbers = values.subarray(row * columns.valuesPerRow, (row + 1) * columns.valuesPerRow)
  return `{${labels}} ${created?.[row] ?? NaN} ${missing?.[row] ? 'missing' : numbers.join(' ')}`
}
