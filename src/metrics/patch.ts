import { lineEnd, putValue, writeBytes, type Bytes } from './bytes.js'
import { width, type Family } from './family.js'
import { VALUES_PER_STEP } from './lines.js'
import type { Rendering } from './memo.js'
import type { Steps } from './slices.js'

// Copied at a time: a copy costs a view, and what lies behind a value that grows is copied again.
const COPY_BYTES = 4096
const COPY_STEP_BYTES = 1 << 20

/**
 * Writes the rows of a family that was rendered before with other values: what stands between changed values is
 * copied, so the cost is that of a copy and of the values that changed.
 *
 * @returns Where each value stands, from the first row's first byte, in the order of writing.
 */
export function* patchRows(out: Bytes, family: Family, known: Rendering): Steps<Uint32Array> {
  const shift = out.length - known.start
  const patch: Patch = { to: out.buffer, known, shift, copied: known.start, offsets: undefined }
  const { rows, columns, end } = known
  const rowsPerStep = Math.ceil(VALUES_PER_STEP / columns.length)
  for (let first = 0; first < rows.length; first += rowsPerStep) {
    if (first > 0) {
      copyTo(patch, known.start + known.offsets[first * columns.length]!)
      yield
    }
    patchStep(patch, family, first, Math.min(rows.length, first + rowsPerStep), shift)
  }
  copyTo(patch, end)
  out.length = end + patch.shift
  return patch.offsets ?? known.offsets
}

type Patch = {
  readonly to: Buffer
  readonly known: Rendering
  /** From a place in the old bytes to the same in the new ones. */
  shift: number
  /** How far of the old bytes is in the new ones. */
  copied: number
  /** The new ones, where they are not the old ones. */
  offsets: Uint32Array | undefined
}

function patchStep(patch: Patch, family: Family, first: number, end: number, base: number): void {
  const { known } = patch
  const { rows, columns, offsets, start } = known
  const { values } = family
  const before = known.family.values
  const rowWidth = width(family)
  const each = columns.length
  // All since the last change of a length are off by the same.
  let moved = first * each
  for (let i = first; i < end; i++) {
    const at = rows[i]! * rowWidth
    for (let j = 0; j < each; j++) {
      const value = values[at + columns[j]!]!
      const old = before[at + columns[j]!]!
      // 0 and -0 are equal and look different; a NaN is written again for nothing.
      if (value === old && (value !== 0 || Object.is(value, old))) continue
      const next = i * each + j
      const shift = patch.shift
      replace(patch, start + offsets[next]!, value)
      if (patch.shift === shift) continue
      moveOffsets(patch, moved, next + 1, shift - base)
      moved = next + 1
    }
  }
  moveOffsets(patch, moved, end * each, patch.shift - base)
}

function moveOffsets({ known, offsets }: Patch, from: number, to: number, by: number): void {
  if (offsets) for (let i = from; i < to; i++) offsets[i] = known.offsets[i]! + by
}

function copyTo(patch: Patch, place: number): void {
  const { copied, known, shift, to } = patch
  if (place <= copied) return
  to.set(known.bytes.subarray(copied, place), copied + shift)
  patch.copied = place
}

/** Writes a value in the place of the one that stands at `from` in the old bytes. */
function replace(patch: Patch, from: number, value: number): void {
  const { known, copied, shift, to } = patch
  if (from > copied) copyTo(patch, Math.min(known.end, Math.max(from, copied + COPY_BYTES)))
  const oldEnd = lineEnd(known.bytes, from)
  const newEnd = putValue(to, from + shift, value)
  if (newEnd === oldEnd + shift) {
    patch.copied = Math.max(patch.copied, oldEnd)
  } else {
    // What was copied ahead stands in a wrong place now.
    patch.copied = oldEnd
    patch.shift = newEnd - oldEnd
    patch.offsets ??= known.offsets.slice()
  }
}

/** Copies the rows of a family of which nothing has changed. */
export function* copyRows(out: Bytes, { bytes, start, end }: Rendering): Steps<void> {
  for (let from = start; from < end; from += COPY_STEP_BYTES) {
    if (from > start) yield
    writeBytes(out, bytes, from, Math.min(end, from + COPY_STEP_BYTES))
  }
}
