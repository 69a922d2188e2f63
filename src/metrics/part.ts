import { VALUE_BYTES, type Bytes } from './bytes.js'
import type { Family } from './family.js'
import { linesOf, roomFor, writeFamily } from './lines.js'
import type { Format } from './names.js'
import { copyFamily, differsInValuesOnly, patchFamily, type Rendering } from './patch.js'
import type { Steps } from './slices.js'
import { exposableRows } from './validity.js'

/** A family on its way into an exposition. */
export type Part = {
  readonly family: Family
  readonly variant: Variant
  readonly rows: Uint32Array
  /** To copy from, where the family was rendered before and only its values may differ. */
  readonly known: Rendering | undefined
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
  const room = known
    ? known.end - known.start + known.offsets.length * VALUE_BYTES
    : roomFor(family, format, withCreated)
  return { family, variant, rows, known, room }
}

/**
 * Writes a family, from the last time's bytes if it can.
 *
 * @param isPassing Whether the exposition will not last: then it is not held to be copied from.
 */
export function* writePart(
  out: Bytes,
  { family, variant, rows, known }: Part,
  format: Format,
  isPassing: boolean,
): Steps<void> {
  const start = out.length
  let columns = known?.columns
  let offsets = known?.offsets
  if (!known || !columns || !offsets) {
    const times = variant === 'openmetricsCreated' ? family.created : undefined
    offsets = yield* writeFamily(out, family, format, rows, times)
    columns = linesOf(family, format).map(({ column }) => column)
  } else if (known.family.values === family.values) {
    yield* copyFamily(out, known)
    if (isPassing) return
  } else {
    offsets = yield* patchFamily(out, family, known)
  }
  const place = isPassing
    ? {
        bytes: Uint8Array.from(out.buffer.subarray(start, out.length)),
        start: 0,
        end: out.length - start,
      }
    : { bytes: out.buffer, start, end: out.length }
  remember(variant, { family, rows, columns, offsets, ...place })
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
