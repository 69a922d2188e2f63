import { toTrackValues, TRACKS, type Point, type Track } from './tracks.js'

/** What the exporter knows about a server in a period. */
export type Span = {
  readonly fromMs: number
  /** For how long the server answered. */
  readonly upMs: number
  /** For how long the server did not answer. In the rest of the period, the exporter was not running. */
  readonly downMs: number
  /** For each track its average, minimum and maximum; NaN if unknown. `getSpanValue` reads them. */
  readonly values: Float32Array
}

/** The names of the values that a span has for each track, in their order. */
export const SPAN_VALUES = ['average', 'minimum', 'maximum'] as const
export type SpanValues = Readonly<Record<(typeof SPAN_VALUES)[number], number>>

const COLUMNS = SPAN_VALUES.length
const VALUE_COUNT = COLUMNS * TRACKS.length

/** Returns the values of a track; `undefined` if they are unknown. */
export function getSpanValues({ values }: Span, track: Track): SpanValues | undefined {
  const at = COLUMNS * TRACKS.indexOf(track)
  const [average, minimum, maximum] = [values[at]!, values[at + 1]!, values[at + 2]!]
  return Number.isNaN(average) ? undefined : { average, minimum, maximum }
}

/**
 * Converts points to spans, each from its point to the next one.
 *
 * @param points The points in the order of their times.
 * @param maxGapMs If the next point is later than this, the exporter was not running in between, and the span has the
 *   median duration of the others.
 */
export function toSpans(points: readonly Point[], maxGapMs: number): Span[] {
  const gaps = points.map((point, i) => (points[i + 1]?.atMs ?? Infinity) - point.atMs)
  const usualGaps = gaps.filter((gapMs) => gapMs <= maxGapMs).sort((a, b) => a - b)
  const usualMs = usualGaps[usualGaps.length >> 1] ?? 0
  return points.map((point, i) => {
    const durationMs = gaps[i]! <= maxGapMs ? gaps[i]! : usualMs
    return {
      fromMs: point.atMs,
      upMs: point.isUp ? durationMs : 0,
      downMs: point.isUp ? 0 : durationMs,
      values: repeatValues(point),
    }
  })
}

/** The average, the minimum and the maximum of one value are the value. */
function repeatValues(point: Point): Float32Array {
  const values = new Float32Array(VALUE_COUNT)
  toTrackValues(point).forEach((value, i) => {
    values.fill(value, COLUMNS * i, COLUMNS * (i + 1))
  })
  return values
}

/** Merges spans into one span for each period of `stepMs`, which starts at a multiple of `stepMs` since 1970. */
export function mergeSpans(spans: readonly Span[], stepMs: number): Span[] {
  const groups = new Map<number, Span[]>()
  for (const span of spans) {
    const fromMs = Math.floor(span.fromMs / stepMs) * stepMs
    const group = groups.get(fromMs)
    if (group) group.push(span)
    else groups.set(fromMs, [span])
  }
  return Array.from(groups, ([fromMs, group]) => mergeGroup(fromMs, group)).sort(
    (a, b) => a.fromMs - b.fromMs,
  )
}

function mergeGroup(fromMs: number, spans: readonly Span[]): Span {
  const [first] = spans
  if (spans.length === 1 && first!.fromMs === fromMs) return first!
  const values = new Float32Array(VALUE_COUNT)
  for (let at = 0; at < VALUE_COUNT; at += COLUMNS) mergeTrack(spans, at, values)
  return {
    fromMs,
    upMs: spans.reduce((sum, { upMs }) => sum + upMs, 0),
    downMs: spans.reduce((sum, { downMs }) => sum + downMs, 0),
    values,
  }
}

/**
 * Merges the values of one track, which are at the index `at`. The average is weighted by the durations of the spans. The
 * span of a single point can have the duration 0; its weight is a millisecond.
 */
function mergeTrack(spans: readonly Span[], at: number, merged: Float32Array): void {
  let [sum, weights, minimum, maximum] = [0, 0, Infinity, -Infinity]
  for (const { upMs, values } of spans) {
    const average = values[at]!
    if (Number.isNaN(average)) continue
    const weight = Math.max(upMs, 1)
    sum += average * weight
    weights += weight
    minimum = Math.min(minimum, values[at + 1]!)
    maximum = Math.max(maximum, values[at + 2]!)
  }
  const isKnown = weights > 0
  merged[at] = isKnown ? sum / weights : NaN
  merged[at + 1] = isKnown ? minimum : NaN
  merged[at + 2] = isKnown ? maximum : NaN
}
