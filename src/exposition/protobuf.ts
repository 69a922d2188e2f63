import { hasCounts, type Family } from '../metrics/family.js'
import { VALUES_PER_STEP } from './lines.js'
import { detached, recall, remember, type Rendering } from './memo.js'
import { DOUBLE_BYTES, estimate, writeFamily } from './message.js'
import { isAskedFor } from './metric-names.js'
import { planned } from './plan.js'
import { atOnce, PARTS_PER_STEP, type Steps } from './slices.js'
import { exposableSteps, rowsOfSmall } from './validity.js'
import { createOut, reserve, type Out } from './wire.js'

export type ProtobufOptions = {
  /** Only these families, see `filterFamilies`. Default: all. */
  readonly names?: ReadonlySet<string>
}

const COPY_BYTES = 1024 * 1024

/**
 * The families as io.prometheus.client.MetricFamily messages, each with its length before it, sorted
 * by name; all at once. Names, types, families and rows are those of the text format, but for counts
 * that are no counts (NaN, negative, in a summary a fraction): there is no field for them. Start
 * timestamps are always there where the source tells them.
 *
 * Of a family that was rendered before only the values that changed are written again, where they
 * are doubles; with buckets or quantiles it is rendered anew.
 *
 * @see prometheus/client_model `io/prometheus/client/metrics.proto`; prometheus/prometheus
 *   `prompb/io/prometheus/client/metrics.proto` for `unit`
 */
export function renderProtobuf(
  families: readonly Family[],
  options: ProtobufOptions = {},
): Uint8Array<ArrayBuffer> {
  return atOnce(protobufSteps(families, options))
}

/** A family on its way into the whole, and what to go on from. */
type Part = { readonly family: Family; readonly rows: Uint32Array; readonly known?: Rendering }

/** `renderProtobuf` in steps. */
export function* protobufSteps(
  families: readonly Family[],
  { names }: ProtobufOptions,
): Steps<Uint8Array<ArrayBuffer>> {
  const parts: Part[] = []
  let size = 0
  // Of all families, so that a choice of some shows nothing that the whole does not.
  for (const family of planned(families, 'text')) {
    if (!isAskedFor(family, names)) continue
    const rows = rowsOfSmall(family) ?? (yield* exposableSteps(family, 'text'))
    if (rows.length === 0) continue
    const known = recall(family, rows, 'protobuf')
    const isPatched = known !== undefined && canPatch(known.family, family)
    parts.push(isPatched ? { family, rows, known } : { family, rows })
    size += isPatched ? known.end - known.start : estimate(family, rows.length)
    if (parts.length % PARTS_PER_STEP === 0) yield
  }
  const out = createOut(size)
  const made: Omit<Rendering, 'bytes'>[] = []
  for (const { family, rows, known } of parts) {
    const start = out.length
    let layout = known?.layout
    if (known) {
      yield* copyFamily(out, known)
      yield* patchValues(out.view, start, family, known)
    }
    layout ??= { rows, columns: [0], gaps: yield* writeFamily(out, family, rows), metadata: {} }
    made.push({ family, layout, start, end: out.length })
    yield
  }
  // Only now it is known where the bytes are: they are moved when the room does not suffice.
  const { bytes, length } = out
  for (const [i, each] of made.entries()) {
    const rendering = { ...each, bytes }
    if (names === undefined) remember('protobuf', rendering)
    else if (!parts[i]!.known) remember('protobuf', detached(rendering))
    if (i % PARTS_PER_STEP === 0) yield
  }
  return bytes.subarray(0, length)
}

function* copyFamily(out: Out, { bytes, start, end }: Rendering): Steps<void> {
  reserve(out, end - start)
  for (let from = start; from < end; from += COPY_BYTES) {
    if (from > start) yield
    const piece = bytes.subarray(from, Math.min(end, from + COPY_BYTES))
    out.bytes.set(piece, out.length)
    out.length += piece.length
  }
}

/** Whether only doubles differ: those do not change the length of a message. */
function canPatch(before: Family, after: Family): boolean {
  if (before.timestampMs !== after.timestampMs) return false
  return before.values === after.values || !hasCounts(after.type)
}

function* patchValues(to: DataView, start: number, family: Family, known: Rendering): Steps<void> {
  const { rows, gaps } = known.layout
  const before = known.family.values
  const { values } = family
  if (before === values) return
  let at = start
  for (let i = 0; i < rows.length; i++) {
    at += gaps[i]!
    const value = values[rows[i]!]!
    const old = before[rows[i]!]!
    // 0 and -0 are equal and are not the same; a NaN is written again for nothing.
    if (value !== old || value === 0) to.setFloat64(at, value, true)
    at += DOUBLE_BYTES
    if (i % VALUES_PER_STEP === VALUES_PER_STEP - 1) yield
  }
}
