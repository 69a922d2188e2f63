import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { RangeData } from '../../../src/history/range.js'
import { findStart, toChartColumns } from '../../../src/page/chart-columns.js'

const STEP_MS = 120_000

const columnsOf = (average: (number | null)[], spread = 0) => ({
  average,
  minimum: average.map((value) => value && value - spread),
  maximum: average.map((value) => value && value + spread),
})

const dataOf = (changes: Partial<RangeData>): RangeData => ({
  ...{ fromMs: 0, toMs: 10 * STEP_MS, stepMs: STEP_MS, times: [], values: {}, outages: [] },
  ...changes,
})

test('the charts have times in seconds, and values with few digits', () => {
  const values = { clients: columnsOf([1234.567, null], 100.04), rooms: columnsOf([3, 3]) }
  assert.deepEqual(toChartColumns(dataOf({ times: [0, STEP_MS], values })), {
    ...{ from: 0, to: 1200, step: 120, times: [0, 120] },
    tracks: {
      clients: { average: [1235, null], minimum: [1130, null], maximum: [1330, null] },
      rooms: { average: [3, 3] },
    },
  })
})

test('with steps of at most a minute, the charts have only averages', () => {
  const values = { clients: columnsOf([10], 5) }
  const { tracks } = toChartColumns(dataOf({ stepMs: 60_000, times: [0], values }))
  assert.deepEqual(tracks, { clients: { average: [10] } })
})

test('an outage interrupts the lines if it covers a whole step', () => {
  const timesWith = (fromMs: number, toMs: number, times: readonly number[]) => {
    const outages = [{ state: 'unknown', fromMs, toMs } as const]
    const values = { clients: columnsOf(times.map((_, i) => i + 1)) }
    const columns = toChartColumns(dataOf({ times, values, outages }))
    return [columns.times, columns.tracks.clients?.average]
  }
  const [first, last] = [0, 5 * STEP_MS]
  assert.deepEqual(timesWith(STEP_MS / 2, last, [first, last]), [
    [0, 120, 600],
    [1, null, 2],
  ])
  // The steps before and after a short outage both have values.
  assert.deepEqual(timesWith(STEP_MS / 2, 1.9 * STEP_MS, [first, STEP_MS]), [
    [0, 120],
    [1, 2],
  ])
  // During an outage of the server, the history has times without values.
  assert.deepEqual(timesWith(STEP_MS, 3 * STEP_MS, [first, STEP_MS]), [
    [0, 120],
    [1, 2],
  ])
})

test('the charts begin at the first time for which something is known', () => {
  const outages = [{ state: 'down', fromMs: 3 * STEP_MS, toMs: 4 * STEP_MS } as const]
  const times = [4 * STEP_MS]
  assert.equal(findStart(dataOf({})), 0)
  assert.equal(findStart(dataOf({ times })), 4 * STEP_MS)
  assert.equal(findStart(dataOf({ times, outages })), 3 * STEP_MS)
  assert.equal(findStart(dataOf({ outages })), 3 * STEP_MS)
  assert.equal(findStart(dataOf({ fromMs: 100, times: [0] })), 100)
})
