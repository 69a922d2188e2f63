import { TRACKS, type Point, type Track } from './tracks.js'

/** What the exporter knows about a server in a period. */
export type Span = {
  readonly fromMs: number
  /** For how long the server answered. */
  readonly upMs: number
  /** For how long the server did not answer. In the rest of the period, the exporter was not running. */
  readonly downMs: number
  readonly values: Partial<Record<Track, SpanValue>>
}

export type SpanValue = {
  readonly average: number
  readonly minimum: number
  readonly maximum: number
}

/**
 * Converts points to spans, each from its point to the next one.
 *
 * @param points The points in the order of their times.
 * @param maxGapMs If the next point is later than this, the exporter was not running in between, and the span has the
 *   median duration of the others.
 */
export function toSpans(points: readonly Point[], maxGapMs: number): Span[] {
  const gaps = points.flatMap((point, i) => {
    const gapMs = i === 0 ? Infinity : point.atMs - points[i - 1]!.atMs
    return gapMs <= maxGapMs ? [gapMs] : []
  })
  const usualMs = gaps.toSorted((a, b) => a - b)[gaps.length >> 1] ?? 0
  return points.map((point, i) => {
    const gapMs = i + 1 < points.length ? points[i + 1]!.atMs - point.atMs : Infinity
    const durationMs = gapMs <= maxGapMs ? gapMs : usualMs
    return {
      fromMs: point.atMs,
      upMs: point.isUp ? durationMs : 0,
      downMs: point.isUp ? 0 : durationMs,
      values: Object.fromEntries(
        TRACKS.flatMap((track) => {
          const value = point[track]
          return value === undefined
            ? []
            : [[track, { average: value, minimum: value, maximum: value }]]
        }),
      ),
    }
  })
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
  const values: Partial<Record<Track, SpanValue>> = {}
  for (const track of TRACKS) {
    const known = spans.filter(({ values }) => values[track] !== undefined)
    if (known.length > 0) values[track] = mergeValues(known, track)
  }
  return {
    fromMs,
    upMs: spans.reduce((sum, { upMs }) => sum + upMs, 0),
    downMs: spans.reduce((sum, { downMs }) => sum + downMs, 0),
    values,
  }
}

/** The average is weighted by the durations of the spans. */
function mergeValues(spans: readonly Span[], track: Track): SpanValue {
  let [sum, weights, minimum, maximum] = [0, 0, Infinity, -Infinity]
  // The span of a single point can have the duration 0.
  const isWeighted = spans.some(({ upMs }) => upMs > 0)
  for (const { upMs, values } of spans) {
    const value = values[track]!
    const weight = isWeighted ? upMs : 1
    sum += value.average * weight
    weights += weight
    minimum = Math.min(minimum, value.minimum)
    maximum = Math.max(maximum, value.maximum)
  }
  return { average: sum / weights, minimum, maximum }
}
