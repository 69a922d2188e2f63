import { createBytes, VALUE_BYTES, type Bytes } from './bytes.js'
import { hasCounts, type Family } from '../metrics/family.js'
import { linesOf, metadataOf, roomFor, writingRows } from './lines.js'
import { detached, recall, remember, type Layout, type Rendering, type Variant } from './memo.js'
import type { Format } from './metric-names.js'
import { copyingRows, patchingRows } from './patch.js'
import type { Steps, Task } from './slices.js'
import { STAMP_BYTES, stampFor, writeStamped } from './stamp.js'
import { exposableRows, hasSum } from './validity.js'

/** A family on its way into an exposition. */
export type Part = {
  readonly family: Family
  readonly variant: Variant
  readonly layout: Layout
  readonly metadata: Uint8Array
  /** To copy from, where the family was rendered before and only its values may differ. */
  readonly known: Rendering | undefined
  /** Bytes that suffice for the rows, without timestamps. */
  readonly plainRoom: number
  /** Bytes that suffice for all. */
  readonly room: number
}

/** @param rows Those that the format can carry. */
export function partOf(family: Family, rows: Uint32Array, format: Format, created: boolean): Part {
  const variant = variantOf(family, format, rows, created)
  const known = recall(family, rows, variant)
  const layout = known?.layout ?? layoutOf(family, rows, format)
  const metadata = (layout.metadata[format] ??= metadataOf(family, format))
  const plainRoom = known
    ? known.end - known.start + roomToGrow(family, known)
    : roomFor(family, format, variant === 'created')
  let room = metadata.length + plainRoom
  if (family.timestampMs !== undefined) {
    room += (layout.gaps.length + (variant === 'created' ? rows.length : 0)) * STAMP_BYTES
  }
  return { family, variant, layout, metadata, known, plainRoom, room }
}

/** Writes a family's rows without timestamps, from the last time's bytes if it can. */
export function writingPlain(out: Bytes, part: Part, format: Format): Task {
  const { family, variant, layout, known } = part
  if (!known) {
    const times = variant === 'created' ? family.created : undefined
    return writingRows(out, family, format, layout, times)
  }
  return isSame(part) ? copyingRows(out, known) : patchingRows(out, family, known)
}

/** Keeps rows that were written without timestamps, to copy from, in the exposition they stand in. */
export function keepPlain(part: Part, out: Bytes, start: number, isPassing: boolean): Rendering {
  const { family, variant, layout } = part
  const rendering = { family, layout, bytes: out.buffer, start, end: out.length }
  // An exposition that will not last is not held for a family of it.
  if (!isPassing) remember(variant, rendering)
  else if (!isSame(part)) remember(variant, detached(rendering))
  return rendering
}

/** Writes a family's rows with its timestamp. */
export function* writeWithTimestamps(out: Bytes, part: Part, format: Format): Steps<void> {
  const { family, known, variant } = part
  // The next one has other timestamps: without them there is something to copy from.
  let plain = known
  if (plain && isSame(part)) {
    remember(variant, plain)
  } else {
    const apart = createBytes(part.plainRoom)
    const write = writingPlain(apart, part, format)
    while (!write()) yield
    plain = keepPlain(part, apart, 0, false)
  }
  yield* writeStamped(out, plain, stampFor(family.timestampMs!, format))
}

function isSame({ family, known }: Part): boolean {
  return known?.family.values === family.values
}

function layoutOf(family: Family, rows: Uint32Array, format: Format): Layout {
  const columns = linesOf(family, format).map(({ column }) => column)
  return { rows, columns, gaps: new Uint32Array(rows.length * columns.length), metadata: {} }
}

function variantOf(
  family: Family,
  format: Format,
  rows: Uint32Array,
  created: boolean,
): 'rows' | 'openmetrics' | 'created' {
  if (format === 'text') return 'rows'
  if (created && family.created !== undefined && canHaveCreated(family)) return 'created'
  // What text leaves out OpenMetrics does too.
  const isAsText = rows === family.order || rows === exposableRows(family, 'text')
  return isAsText && hasSum(family) ? 'rows' : 'openmetrics'
}

/** Of the types we have; a gauge's `_created` would be read as a family of its own. */
function canHaveCreated({ type }: Family): boolean {
  return type === 'counter' || hasCounts(type)
}

/** Bytes by which the rows may become longer than they were, at most: room that nobody uses costs nothing. */
function roomToGrow({ values }: Family, { family, layout }: Rendering): number {
  return values === family.values ? 0 : layout.gaps.length * VALUE_BYTES
}
