import { lineEnd, putValue, writeBytes, type Bytes } from './bytes.js'
import { width, type Family } from '../metrics/family.js'
import { VALUES_PER_STEP } from './lines.js'
import type { Rendering } from './memo.js'
import type { Task } from './slices.js'

// Copied at a time: a copy costs a view, and what lies behind a value that grows is copied again.
const COPY_BYTES = 4096
const COPY_STEP_BYTES = 1 << 20

/**
 * Writes the rows of a family that was rendered before with other values: what stands between changed
 * values is copied, so the cost is that of a copy and of the values that changed.
 */
export function patchingRows(out: Bytes, family: Family, known: Rendering): Task {
  const { start, end, layout } = known
  const patch = { to: out.buffer, known, shift: out.length - start, copied: start, read: start }
  const { length } = layout.rows
  const rowsPerStep = Math.ceil(VALUES_PER_STEP / layout.columns.length)
  let first = 0
  return () => {
    const next = Math.min(length, first + rowsPerStep)
    patchStep(patch, family, first, next)
    first = next
    const isLast = first === length
    copyTo(patch, isLast ? end : patch.read)
    if (isLast) out.length = end + patch.shift
    return isLast
  }
}

type Patch = {
  readonly to: Buffer
  readonly known: Rendering
  /** From a place in the old bytes to the same in the new ones. */
  shift: number
  /** How far of the old bytes is in the new ones. */
  copied: number
  /** Where in the old bytes the last value ends that was looked at. */
  read: number
}

function patchStep(patch: Patch, family: Family, first: number, end: number): void {
  const { bytes, layout } = patch.known
  const { rows, columns, gaps } = layout
  const { values } = family
  const before = patch.known.family.values
  const rowWidth = width(family)
  let next = first * columns.length
  let read = patch.read
  for (let i = first; i < end; i++) {
    const at = rows[i]! * rowWidth
    for (const column of columns) {
      const value = values[at + column]!
      const old = before[at + column]!
      const valueAt = read + gaps[next++]!
      read = lineEnd(bytes, valueAt)
      // 0 and -0 are equal and look different; a NaN is written again for nothing.
      if (value !== old || (value === 0 && !Object.is(value, old))) {
        replace(patch, valueAt, read, value)
      }
    }
  }
  patch.read = read
}

function copyTo(patch: Patch, place: number): void {
  const { copied, known, shift, to } = patch
  if (place <= copied) return
  to.set(known.bytes.subarray(copied, place), copied + shift)
  patch.copied = place
}

/** Writes a value in the place of the one that stands at `from … oldEnd` in the old bytes. */
function replace(patch: Patch, from: number, oldEnd: number, value: number): void {
  const { known, copied, shift, to } = patch
  if (from > copied) copyTo(patch, Math.min(known.end, Math.max(from, copied + COPY_BYTES)))
  const newEnd = putValue(to, from + shift, value)
  if (newEnd === oldEnd + shift) {
    patch.copied = Math.max(patch.copied, oldEnd)
  } else {
    // What was copied ahead stands in a wrong place now.
    patch.copied = oldEnd
    patch.shift = newEnd - oldEnd
  }
}

/** Copies the rows of a family of which nothing has changed. */
export function copyingRows(out: Bytes, { bytes, start, end }: Rendering): Task {
  let from = start
  return () => {
    const next = Math.min(end, from + COPY_STEP_BYTES)
    writeBytes(out, bytes, from, next)
    from = next
    return from === end
  }
}
