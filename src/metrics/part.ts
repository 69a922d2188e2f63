import { createBytes, VALUE_BYTES, type Bytes } from './bytes.js'
import type { Family } from './family.js'
import { linesOf, roomFor, writeFamily } from './lines.js'
import type { Format } from './names.js'
import { copyFamily, differsInValuesOnly, patchFamily, type Rendering } from './patch.js'
import type { Steps } from './slices.js'
import { STAMP_BYTES, stampFor, writeStamped } from './stamp.js'
import { exposableRows } from './validity.js'

/** A family on its way into an exposition. */
export type Part = {
  readonly family: Family
  readonly variant: Variant
  readonly rows: Uint32Array
  /** To copy from, where the family was rendered before and only its values may differ. */
  readonly known: Rendering | undefined
  /** Bytes that suffice for it, without timestamps. */
  readonly plainRoom: number
  /** Bytes that suffice for it. */
  readonly room: number
}

// What a format is rendered to depends on an option.
const VARIANTS = ['text', 'openmetrics', 'openmetricsCreated'] as const
type Variant = (typeof VARIANTS)[number]
type Known = { [variant in Variant]?: { rendering: Rendering; missed: number } | undefined }

// The last renderings of each family, kept by its order: a store's snapshots share it until a row
// comes or goes, and with the store they are gone.
const renderings = new WeakMap<Uint32Array, Known>()
// What nobody has asked for while another format was rendered so often is forgotten.
const MAX_MISSED = 20

export function partOf(family: Family, format: Format, created: boolean): Part {
  const withCreated =
    created && format === 'openmetrics' && family.created !== undefined && canHaveCreated(family)
  const variant = withCreated ? 'openmetricsCreated' : format
  const rows = exposableRows(family, format)
  let known = renderings.get(family.order)?.[variant]?.rendering
  // Which rows are left out may change with the values.
  if (known && !(known.rows === rows && differsInValuesOnly(known.family, family))) {
    known = undefined
  }
  const plainRoom = known
    ? known.end - known.start + known.offsets.length * VALUE_BYTES
    : roomFor(family, format, withCreated)
  const lines = rows.length * (linesOf(family, format).length + Number(withCreated))
  const room = plainRoom + (family.timestampMs === undefined ? 0 : lines * STAMP_BYTES)
  return { family, variant, rows, known, plainRoom, room }
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
  const { family, variant, known } = part
  if (family.timestampMs === undefined) {
    const rendering = yield* writePlain(out, part, format)
    if (!isPassing) remember(variant, rendering)
    else if (rendering !== known) remember(variant, detached(rendering))
    return
  }
  // The next one has other timestamps: without them there is something to copy from.
  let plain = known
  if (known?.family.values !== family.values) {
    plain = yield* writePlain(createBytes(part.plainRoom), part, format)
  }
  remember(variant, plain!)
  yield* writeStamped(out, plain!, stampFor(family.timestampMs, format))
}

/** Writes a family without timestamps. */
function* writePlain(
  out: Bytes,
  { family, variant, rows, known }: Part,
  format: Format,
): Steps<Rendering> {
  const start = out.length
  let columns: readonly number[]
  let offsets: Uint32Array
  if (!known) {
    const times = variant === 'openmetricsCreated' ? family.created : undefined
    offsets = yield* writeFamily(out, family, format, rows, times)
    columns = linesOf(family, format).map(({ column }) => column)
  } else {
    ;({ columns, offsets } = known)
    if (known.family.values === family.values) yield* copyFamily(out, known)
    else offsets = yield* patchFamily(out, family, known)
  }
  return { family, rows, columns, offsets, bytes: out.buffer, start, end: out.length }
}

/** In bytes of its own, which hold nothing else. */
function detached(rendering: Rendering): Rendering {
  const { bytes, start, end } = rendering
  return {
    ...rendering,
    bytes: new Uint8Array(bytes.subarray(start, end)),
    start: 0,
    end: end - start,
  }
}

function remember(variant: Variant, rendering: Rendering): void {
  const { order } = rendering.family
  const known = renderings.get(order) ?? {}
  renderings.set(order, known)
  known[variant] = { rendering, missed: 0 }
  for (const other of VARIANTS) {
    const rest = known[other]
    if (rest && other !== variant && ++rest.missed > MAX_MISSED) known[other] = undefined
  }
}

/** Of the types we have; a gauge's `_created` would be read as a family of its own. */
function canHaveCreated({ type }: Family): boolean {
  return type === 'counter' || type === 'histogram' || type === 'summary'
}
