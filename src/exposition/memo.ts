import type { Family } from '../metrics/family.js'
import type { Format } from './metric-names.js'

/** What all renderings of a family have in common while only its values change. */
export type Layout = {
  /** Rows that are written, in their order. */
  readonly rows: Uint32Array
  /** Which of a row's values are written, in the order of writing. */
  readonly columns: readonly number[]
  /** Bytes between the end of the value before, or the family's first byte, and each value. */
  readonly gaps: Uint32Array
  /** The lines before the rows, in the formats in which they were asked for. */
  readonly metadata: { [format in Format]?: Uint8Array }
}

/** A family as it stands in an exposition, for the next one to copy from. */
export type Rendering = {
  readonly family: Family
  readonly layout: Layout
  /** The exposition, and where in it the family's rows begin and end. Never written to again. */
  readonly bytes: Uint8Array<ArrayBuffer>
  readonly start: number
  readonly end: number
}

/**
 * What is rendered alike: the rows of text and of OpenMetrics mostly, so that who asks for both
 * costs no more to hold. `openmetrics`: what OpenMetrics shows of a family when it is less.
 */
const VARIANTS = ['rows', 'openmetrics', 'created', 'protobuf'] as const
export type Variant = (typeof VARIANTS)[number]
type Known = { [variant in Variant]?: { rendering: Rendering; missed: number } | undefined }

// The last renderings of each family, kept by its order: a store's snapshots share it until a row
// comes or goes, and with the store they are gone.
const renderings = new WeakMap<Uint32Array, Known>()
// What nobody has asked for while another was rendered so often is forgotten.
const MAX_MISSED = 10

/** The family as it was rendered last, where only values may have changed since. */
export function recall(family: Family, rows: Uint32Array, variant: Variant): Rendering | undefined {
  const known = renderings.get(family.order)?.[variant]?.rendering
  // Which rows are left out may change with the values.
  return known?.layout.rows === rows && differsInValuesOnly(known.family, family)
    ? known
    : undefined
}

export function remember(variant: Variant, rendering: Rendering): void {
  const { order } = rendering.family
  const known = renderings.get(order) ?? {}
  renderings.set(order, known)
  known[variant] = { rendering, missed: 0 }
  for (const other of VARIANTS) {
    const rest = known[other]
    if (rest && other !== variant && ++rest.missed > MAX_MISSED) known[other] = undefined
  }
}

/** For a family that is left out: its rendering holds the bytes of a whole exposition, long served. */
export function forget({ order }: Family): void {
  renderings.delete(order)
}

/** Whether the family is what was rendered, but for its values: then a patch of that is the same. */
function differsInValuesOnly(a: Family, b: Family): boolean {
  return (
    a.order === b.order &&
    a.length === b.length &&
    a.labels === b.labels &&
    a.created === b.created &&
    a.name === b.name &&
    a.type === b.type &&
    a.bounds === b.bounds &&
    a.help === b.help &&
    a.unit === b.unit &&
    a.values.length === b.values.length
  )
}

/** In bytes of its own, which hold nothing else. */
export function detached(rendering: Rendering): Rendering {
  const { bytes, start, end } = rendering
  const own = new Uint8Array(bytes.subarray(start, end))
  return { ...rendering, bytes: own, start: 0, end: end - start }
}
