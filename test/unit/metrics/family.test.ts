import assert from 'node:assert/strict'
import { test } from 'node:test'
import {
  family,
  isDistribution,
  countValuesPerRow,
  type MetricType,
} from '../../../src/metrics/family.js'
import { escapeLabelValue, getLabels, formatLabels } from '../../../src/metrics/labels.js'
import { limitSeries } from '../../../src/metrics/series-limit.js'
import {
  compareNames,
  getExposedName,
  isSelected,
  listTakenNames,
} from '../../../src/exposition/metric-names.js'
import { makeFamily } from '../../support/families.js'

const TYPES: readonly MetricType[] = [
  ...(['counter', 'gauge', 'histogram', 'summary', 'info', 'unknown'] as const),
]

test('a family created with `family` exposes its samples in the given order', () => {
  const made = family('gauge', 'test', 'Help.', [
    { labels: { host: 'b', type: 'c2s' }, value: 2 },
    { value: 1 },
    { labels: { host: 'a"\\\n' }, value: -0 },
  ])
  assert.deepEqual(
    { ...made, labels: made.order.length },
    {
      ...{ name: 'test', type: 'gauge', help: 'Help.', unit: '', bounds: [], length: 3 },
      ...{ order: Uint32Array.of(0, 1, 2), values: Float64Array.of(2, 1, -0) },
      ...{ created: undefined, labels: 3 },
    },
  )
  assert.deepEqual(
    Array.from(made.order, (row) => getLabels(made.labels, row)),
    ['host="b",type="c2s"', '', 'host="a\\"\\\\\\n"'],
  )
})

test('a label text has quoted and escaped label values', () => {
  assert.equal(formatLabels({}), '')
  assert.equal(formatLabels({ a: '1' }), 'a="1"')
  assert.equal(formatLabels({ a: '1', b: 'x"y\\z\n' }), 'a="1",b="x\\"y\\\\z\\n"')
  assert.equal(escapeLabelValue('\t\r,={}'), '\t\r,={}')
})

test('the type and the bounds of a family determine how many values each row has', () => {
  const bounds = [1, 2, Infinity]
  const widths = TYPES.map((type) => [
    type,
    countValuesPerRow({ type, bounds }),
    isDistribution(type),
  ])
  assert.deepEqual(widths, [
    ['counter', 1, false],
    ['gauge', 1, false],
    ['histogram', 5, true],
    ['summary', 5, true],
    ['info', 1, false],
    ['unknown', 1, false],
  ])
})

test('the type of a family determines its exposed name and the names that no other family may use, in each text format', () => {
  const names = TYPES.map((type) => {
    const x = { name: 'x', type }
    return [
      ...[getExposedName(x, 'text'), getExposedName(x, 'openmetrics')],
      ...[listTakenNames(x, 'openmetrics').join(' '), listTakenNames(x, 'text').join(' ')],
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

test('a selection by name matches the name in either text format, and an empty selection matches all families', () => {
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

test('above the series limit, whole families are omitted, the largest first, until the remaining series are within the limit', () => {
  const gaugeOf = (name: string, rows: number) =>
    makeFamily(
      { name, type: 'gauge' },
      Array.from({ length: rows }, (_, i) => ({ labels: `n="${i}"`, values: [i] })),
    )
  const all = [gaugeOf('c', 3), gaugeOf('a', 1), gaugeOf('d', 3), gaugeOf('b', 2), gaugeOf('e', 0)]
  const limited = (max: number, families = all) => {
    const { remaining, omitted } = limitSeries(families, max)
    return [remaining.map(({ name }) => name).join(''), Object.fromEntries(omitted)]
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
  // The omitted series of two families with the same name are added up.
  assert.deepEqual(limited(1, [gaugeOf('x', 2), gaugeOf('x', 3), gaugeOf('a', 1)]), ['a', { x: 5 }])
})
