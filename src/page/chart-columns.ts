import type { RangeColumns, RangeData } from '../history/range.js'
import type { Track } from '../history/tracks.js'

/** The values of all charts in the form that the chart library expects: columns. All columns have the same length. */
export type ChartColumns = {
  /** The first time of the charts, in seconds since 1970 like all times here. */
  readonly from: number
  readonly to: number
  /** The duration of one value. */
  readonly step: number
  readonly times: readonly number[]
  readonly tracks: Readonly<Partial<Record<Track, TrackColumns>>>
}

/** Without `minimum` and `maximum`, these values do not differ from the average, or the step is short. */
type TrackColumns = Pick<RangeColumns, 'average'> &
  Partial<Pick<RangeColumns, 'minimum' | 'maximum'>>

const AVERAGE_DIGITS = 4
// The minimum and the maximum are edges of an area 150 pixels high. The page shows three digits of a value.
const EDGE_DIGITS = 3
/** Charts with a shorter step show only averages. */
const MIN_BAND_STEP_MS = 60_000

/** Converts the data of a range to columns with few digits, so that the browser loads few bytes. */
export function toChartColumns(data: RangeData): ChartColumns {
  const { stepMs, toMs, values } = data
  const rows = listRows(data)
  const select = (column: readonly (number | null)[], digits: number) =>
    rows.map(({ index }) => round(column[index] ?? null, digits))
  const convert = ({ average, minimum, maximum }: RangeColumns): TrackColumns => {
    const hasBand = stepMs > MIN_BAND_STEP_MS && minimum.some((value, i) => value !== maximum[i])
    return {
      average: select(average, AVERAGE_DIGITS),
      ...(hasBand && {
        minimum: select(minimum, EDGE_DIGITS),
        maximum: select(maximum, EDGE_DIGITS),
      }),
    }
  }
  return {
    from: toSeconds(findStart(data)),
    to: toSeconds(toMs),
    step: toSeconds(stepMs),
    times: rows.map(({ atMs }) => toSeconds(atMs)),
    tracks: Object.fromEntries(
      Object.entries(values).map(([track, columns]) => [track, convert(columns)]),
    ),
  }
}

/**
 * Returns the time at which the charts of a range begin. This is the first time about which the history knows something,
 * so that a short history fills the charts.
 */
export function findStart({ fromMs, toMs, times, outages }: RangeData): number {
  const knownMs = Math.min(times[0] ?? toMs, outages[0]?.fromMs ?? toMs)
  return times.length + outages.length > 0 ? Math.max(fromMs, knownMs) : fromMs
}

/**
 * Returns the times of the charts, with the index of the values. If an outage covers a whole step, a time without values
 * interrupts the lines there. Otherwise, the chart library would draw a line across the outage.
 */
function listRows({ times, stepMs, outages }: RangeData) {
  const known = new Set(times)
  const gaps = outages.flatMap(({ fromMs, toMs }) => {
    const atMs = Math.ceil(fromMs / stepMs) * stepMs
    return atMs + stepMs <= toMs && !known.has(atMs) ? [{ atMs, index: -1 }] : []
  })
  const rows = times.map((atMs, index) => ({ atMs, index }))
  return [...rows, ...gaps].sort((a, b) => a.atMs - b.atMs)
}

const round = (value: number | null, digits: number) =>
  value === null ? null : Number(value.toPrecision(digits))

const toSeconds = (ms: number) => Math.round(ms / 1000)
