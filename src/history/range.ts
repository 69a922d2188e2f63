import { mergeSpans, SPAN_VALUES, type Span, type SpanValues } from './span.js'
import { TRACKS, type Track } from './tracks.js'

const MINUTE_MS = 60_000
const HOUR_MS = 60 * MINUTE_MS
const DAY_MS = 24 * HOUR_MS

/** A period until now that the charts of the status page can show. */
export type Range = {
  /** The name of the range in URLs, for example `24h`. */
  readonly id: string
  readonly durationMs: number
  /** The distance of the values in a chart. */
  readonly stepMs: number
}

/** All ranges, the shortest first. Each has at most 730 values. */
export const RANGES: readonly Range[] = [
  { id: '1h', durationMs: HOUR_MS, stepMs: MINUTE_MS / 4 },
  { id: '4h', durationMs: 4 * HOUR_MS, stepMs: MINUTE_MS / 2 },
  { id: '24h', durationMs: DAY_MS, stepMs: 2 * MINUTE_MS },
  { id: '7d', durationMs: 7 * DAY_MS, stepMs: 15 * MINUTE_MS },
  { id: '30d', durationMs: 30 * DAY_MS, stepMs: HOUR_MS },
  { id: '1y', durationMs: 365 * DAY_MS, stepMs: 12 * HOUR_MS },
  { id: '2y', durationMs: 730 * DAY_MS, stepMs: DAY_MS },
]

/** A period in which the exporter got no values. */
export type Outage = {
  /** `down`: the server did not answer. `unknown`: the exporter was not running. */
  readonly state: 'down' | 'unknown'
  readonly fromMs: number
  readonly toMs: number
}

/** The values in a range, for charts. */
export type RangeData = {
  readonly fromMs: number
  readonly toMs: number
  /** The distance of two times without an outage. */
  readonly stepMs: number
  /** The start of each period of `stepMs` for which the history has values, in milliseconds since 1970. */
  readonly times: readonly number[]
  /** The values at these times. A track without any value is absent. */
  readonly values: Readonly<Partial<Record<Track, RangeColumns>>>
  readonly outages: readonly Outage[]
}

export type RangeColumns = Readonly<Record<keyof SpanValues, readonly (number | null)[]>>

/**
 * Creates the data of a range.
 *
 * @param spans All that the history knows about the range, in the order of time.
 * @param options.spanMs The duration of each span; `undefined` if the spans are those of single points.
 * @param options.maxGapMs A shorter period without values is no outage.
 * @param options.startMs The time of the first value that was ever stored. Before it, nothing is known, and that is no
 *   outage.
 */
export function createRangeData(
  range: Range,
  spans: readonly Span[],
  options: {
    readonly nowMs: number
    readonly startMs: number
    readonly maxGapMs: number
    readonly spanMs?: number | undefined
  },
): RangeData {
  const fromMs = options.nowMs - range.durationMs
  const merged = mergeSpans(
    spans.filter((span) => span.fromMs >= fromMs && span.fromMs <= options.nowMs),
    range.stepMs,
  )
  return {
    fromMs,
    toMs: options.nowMs,
    stepMs: range.stepMs,
    times: merged.map((span) => span.fromMs),
    values: toColumns(merged),
    outages: findOutages(spans, { ...options, fromMs }),
  }
}

function toColumns(spans: readonly Span[]): RangeData['values'] {
  const columns: Partial<Record<Track, RangeColumns>> = {}
  TRACKS.forEach((track, i) => {
    const at = SPAN_VALUES.length * i
    if (spans.every(({ values }) => Number.isNaN(values[at]))) return
    const [average, minimum, maximum] = SPAN_VALUES.map((_, offset) =>
      spans.map(({ values }) => toNullable(values[at + offset]!)),
    )
    columns[track] = { average: average!, minimum: minimum!, maximum: maximum! }
  })
  return columns
}

const toNullable = (value: number) => (Number.isNaN(value) ? null : value)

/** Finds the periods in which the server was down or the exporter was not running, in the order of time. */
function findOutages(
  spans: readonly Span[],
  limits: {
    readonly fromMs: number
    readonly nowMs: number
    readonly startMs: number
    readonly maxGapMs: number
    readonly spanMs?: number | undefined
  },
): Outage[] {
  const outages: Outage[] = []
  const add = (state: Outage['state'], fromMs: number, toMs: number) => {
    const last = outages.at(-1)
    if (last?.state === state && last.toMs >= fromMs)
      outages[outages.length - 1] = { ...last, toMs }
    else if (toMs > fromMs) outages.push({ state, fromMs, toMs })
  }
  let knownUntilMs = Math.max(limits.fromMs, limits.startMs)
  for (const { fromMs, upMs, downMs } of spans) {
    const toMs = fromMs + (limits.spanMs ?? upMs + downMs)
    if (toMs < limits.fromMs) continue
    if (fromMs - knownUntilMs > limits.maxGapMs) add('unknown', knownUntilMs, fromMs)
    let start = Math.max(fromMs, limits.fromMs)
    // The present span is not over, and the first one has no values before `startMs`.
    const isComplete = toMs <= limits.nowMs && fromMs >= limits.startMs
    const unknownMs = isComplete ? toMs - fromMs - upMs - downMs : 0
    const hasGap = unknownMs > limits.maxGapMs
    const last = outages.at(-1)
    // The order of the states in a span is unknown. A gap that ends in a span is at its start, and others are at its end.
    const isEndOfGap = hasGap && last?.state === 'unknown' && last.toMs === fromMs
    if (isEndOfGap) add('unknown', start, (start += unknownMs))
    add('down', start, Math.min(start + downMs, toMs, limits.nowMs))
    if (hasGap && !isEndOfGap) add('unknown', Math.max(toMs - unknownMs, start), toMs)
    knownUntilMs = Math.max(knownUntilMs, toMs)
  }
  return outages
}
