import assert from 'node:assert/strict'
import { test } from 'node:test'
import {
  escapeLabelValue,
  family,
  hasCounts,
  labelsOf,
  labelText,
  width,
  type MetricType,
} from '../../../src/metrics/family.js'
import { limitSeries } from '../../../src/metrics/series-limit.js'
import {
  compareNames,
  exposedName,
  isSelected,
  takenNames,
} from '../../../src/exposition/metric-names.js'
import { makeFamily } from '../../support/families.js'

const TYPES: readonly MetricType[] = [
  ...(['counter', 'gauge', 'histogram', 'summary', 'info', 'unknown'] as const),
]

test('a family of ours has its samples in the order given', () => {
  const made = family('gauge', 'ours', 'Ours.', [
    { labels: { host: 'b', type: 'c2s' }, value: 2 },
    { value: 1 },
    { labels: { host: 'a"\\\n' }, value: -0 },
  ])
  assert.deepEqual(
    { ...made, labels: made.order.length },
    {
      ...{ name: 'ours', type: 'gauge', help: 'Ours.', unit: '', bounds: [], length: 3 },
      ...{ order: Uint32Array.of(0, 1, 2), values: Float64Array.of(2, 1, -0) },
      ...{ created: undefined, labels: 3 },
    },
  )
  assert.deepEqual(
    Array.from(made.order, (row) => labelsOf(made.labels, row)),
    ['host="b",type="c2s"', '', 'host="a\\"\\\\\\n"'],
  )
})

test('labels are written between quotes', () => {
  assert.equal(labelText({}), '')
  assert.equal(labelText({ a: '1' }), 'a="1"')
  assert.equal(labelText({ a: '1', b: 'x"y\\z\n' }), 'a="1",b="x\\"y\\\\z\\n"')
  assert.equal(escapeLabelValue('\t\r,={}'), '\t\r,={}')
})

test('a row has as many values as its type says', () => {
  const bounds = [1, 2, Infinity]
  const widths = TYPES.map((type) => [type, width({ type, bounds }), hasCounts(type)])
  assert.deepEqual(widths, [
    ['counter', 1, false],
    ['gauge', 1, false],
    ['histogram', 5, true],
    ['summary', 5, true],
    ['info', 1, false],
    ['unknown', 1, false],
  ])
})

test('names of a family: on the metadata lines, taken in OpenMetrics, taken in the text format', () => {
  const names = TYPES.map((type) => {
    const x = { name: 'x', type }
    return [
      ...[exposedName(x, 'text'), exposedName(x, 'openmetrics')],
      ...[takenNames(x, 'openmetrics').join(' '), takenNames(x, 'text').join(' ')],
    ]
  })
  assert.deepEqual(names, [
    ['x_total', 'x', 'x x_total x_created', 'x_total'],
    ['x', 'x', 'x', 'x'],
    ['x', 'x', 'x x_bucket x_count x_sum x_created', 'x x_bucket x_count x_sum'],
    ['x', 'x', 'x x_count x_sum x_created', 'x x_count x_sum'],
    ['x_info', 'x', 'x x_info', 'x_info'],
    ['x', 'x', 'x', 'x'],
  ])
  assert.deepEqual(['b', 'a', 'B', '_', 'a'].sort(compareNames), ['B', '_', 'a', 'a', 'b'])
  assert.deepEqual([compareNames('a', 'b'), compareNames('b', 'a'), compareNames('a', 'a')], [-1, 1, 0]) // prettier-ignore
})

test('a selection contains the families of its names, by either name; an empty one contains all', () => {
  const counter = { name: 'x', type: 'counter' } as const
  const gauge = { name: 'x', type: 'gauge' } as const
  const selected = (names: readonly string[] | undefined) =>
    [counter, gauge].map((each) => isSelected(each, names && new Set(names)))
  assert.deepEqual(selected(undefined), [true, true])
  assert.deepEqual(selected([]), [true, true])
  assert.deepEqual(selected(['x']), [true, true])
  assert.deepEqual(selected(['x_total']), [true, false])
  assert.deepEqual(selected(['y', 'x_total']), [true, false])
  assert.deepEqual(selected(['y']), [false, false])
})

test('over the limit whole families are left out, the largest first, until the rest is within it', () => {
  const of = (name: string, rows: number) =>
    makeFamily(
      { name, type: 'gauge' },
      Array.from({ length: rows }, (_, i) => ({ labels: `n="${i}"`, values: [i] })),
    )
  const all = [of('c', 3), of('a', 1), of('d', 3), of('b', 2), of('e', 0)]
  const limited = (max: number, families = all) => {
    const { kept, leftOut } = limitSeries(families, max)
    return [kept.map(({ name }) => name).join(''), Object.fromEntries(leftOut)]
  }
  assert.deepEqual(limited(Infinity), ['cadbe', {}])
  assert.deepEqual(limited(9), ['cadbe', {}])
  assert.deepEqual(limited(8), ['adbe', { c: 3 }])
  assert.deepEqual(limited(6), ['adbe', { c: 3 }])
  assert.deepEqual(limited(5), ['abe', { c: 3, d: 3 }])
  assert.deepEqual(limited(3), ['abe', { c: 3, d: 3 }])
  assert.deepEqual(limited(1), ['ae', { b: 2, c: 3, d: 3 }])
  assert.deepEqual(limited(0), ['e', { a: 1, b: 2, c: 3, d: 3 }])
  assert.deepEqual(limited(8, all.toReversed()), ['ebda', { c: 3 }])
  // Two families of one name.
  assert.deepEqual(limited(1, [of('x', 2), of('x', 3), of('a', 1)]), ['a', { x: 5 }])
})
