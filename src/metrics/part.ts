import { createBytes, digitsOf, VALUE_BYTES, writeBytes, type Bytes } from './bytes.js'
import { hasCounts, type Family } from './family.js'
import { linesOf, metadataOf, roomFor, VALUES_PER_STEP, writeRows } from './lines.js'
import { detached, recall, remember, type Rendering, type Variant } from './memo.js'
import type { Format } from './names.js'
import { copyRows, patchRows } from './patch.js'
import type { Steps } from './slices.js'
import { STAMP_BYTES, stampFor, writeStamped } from './stamp.js'
import { exposableRows, exposableSteps, hasSum } from './validity.js'

/** A family on its way into an exposition. */
export type Part = {
  readonly family: Family
  readonly variant: Variant
  readonly rows: Uint32Array
  readonly metadata: Uint8Array
  /** To copy from, where the family was rendered before and only its values may differ. */
  readonly known: Rendering | undefined
  /** Bytes that suffice for the rows, without timestamps. */
  readonly plainRoom: number
  /** Bytes that suffice for all. */
  readonly room: number
}

export function* partOf(family: Family, format: Format, created: boolean): Steps<Part> {
  const rows = yield* exposableSteps(family, format)
  const variant = variantOf(family, format, rows, created)
  const withCreated = variant === 'created'
  const known = recall(family, rows, variant)
  const metadata = known?.metadata[format] ?? metadataOf(family, format)
  const plainRoom = known
    ? known.end - known.start + (yield* growth(known.family.values, family.values))
    : roomFor(family, format, withCreated)
  let room = metadata.length + plainRoom
  if (family.timestampMs !== undefined) {
    room += rows.length * (linesOf(family, format).length + Number(withCreated)) * STAMP_BYTES
  }
  return { family, variant, rows, metadata, known, plainRoom, room }
}

/**
 * Writes a family, from the last time's bytes if it can.
 *
 * @param isPassing Whether the exposition will not last: then it is not held to be copied from.
 */
export function* writePart(
  out: Bytes,
  part: Part,
  format: Format,
  isPassing: boolean,
): Steps<void> {
  const { family, variant, known, metadata } = part
  const { timestampMs } = family
  writeBytes(out, metadata, 0, metadata.length)
  const isSame = known?.family.values === family.values
  if (timestampMs === undefined) {
    const rendering = yield* writePlain(out, part, format)
    if (!isPassing) remember(variant, rendering)
    else if (!isSame) remember(variant, detached(rendering))
    return
  }
  // The next one has other timestamps: without them there is something to copy from.
  const plain = isSame ? known : yield* writePlain(createBytes(part.plainRoom), part, format)
  remember(variant, plain)
  yield* writeStamped(out, plain, stampFor(timestampMs, format))
}

/** Writes a family's rows without timestamps. */
function* writePlain(
  out: Bytes,
  { family, variant, rows, known, metadata }: Part,
  format: Format,
): Steps<Rendering> {
  const start = out.length
  let offsets: Uint32Array
  if (!known) {
    const times = variant === 'created' ? family.created : undefined
    offsets = yield* writeRows(out, family, format, rows, times)
  } else if (known.family.values === family.values) {
    yield* copyRows(out, known)
    offsets = known.offsets
  } else {
    offsets = yield* patchRows(out, family, known)
  }
  const columns = known?.columns ?? linesOf(family, format).map(({ column }) => column)
  const all = known?.metadata ?? {}
  all[format] = metadata
  const { buffer: bytes, length: end } = out
  return { family, rows, columns, bytes, start, end, offsets, metadata: all }
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

/** Bytes by which values are longer than before, at most. What is shorter is not set against it. */
function* growth(before: Float64Array, after: Float64Array): Steps<number> {
  if (before === after) return 0
  let bytes = 0
  for (let i = 0; i < after.length; i++) {
    if (i % VALUES_PER_STEP === VALUES_PER_STEP - 1) yield
    const value = after[i]!
    const old = before[i]!
    // 0 may have been -0, or be it now.
    if (value === old) bytes += value === 0 ? 1 : 0
    else bytes += Math.max(0, (digitsOf(value) ?? VALUE_BYTES) - (digitsOf(old) ?? 1))
  }
  return bytes
}
