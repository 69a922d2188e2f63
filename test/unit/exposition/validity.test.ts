import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Family, MetricType } from '../../../src/metrics/family.js'
import {
  compareNames,
  getExposedName,
  type TextFormat,
} from '../../../src/exposition/metric-names.js'
import { runToEnd } from '../../../src/exposition/slices.js'
import {
  findCollidingFamilies,
  countInvalidRows,
  listExposedFamilies,
  getRowsIfAllExposed,
  findExposedRows,
  hasSumAndCount,
} from '../../../src/exposition/validity.js'
import { makeFamily } from '../../support/families.js'
import { runSteps } from '../../support/steps.js'

const BOUNDS = [1, 2, Infinity]

const rowsOf = (family: Family, format: TextFormat) =>
  getRowsIfAllExposed(family, format) ?? runToEnd(findExposedRows(family, format))

/**
 * The values of one row. For a histogram or summary, these are the buckets or quantile values, then sum and
 * count.
 */
const ROWS: readonly [
  what: string,
  type: MetricType,
  values: readonly number[],
  isValid: boolean,
  bounds?: readonly number[],
][] = [
  ['a counter of 0', 'counter', [0], true],
  ['a counter of -0', 'counter', [-0], true],
  ['an infinite counter', 'counter', [Infinity], true],
  ['a negative counter', 'counter', [-1], false],
  ['a NaN counter', 'counter', [NaN], false],
  ['a negative gauge', 'gauge', [-1], true],
  ['a NaN gauge', 'gauge', [NaN], true],
  ['a NaN unknown', 'unknown', [NaN], true],
  ['an info of 1', 'info', [1], true],
  ['an info of 0', 'info', [0], false],
  ['an info of NaN', 'info', [NaN], false],
  ['an empty histogram', 'histogram', [0, 0, 0, 0, 0], true],
  ['a histogram', 'histogram', [1, 2, 3, 4.5, 3], true],
  ['a histogram whose sum is infinite', 'histogram', [1, 2, 3, Infinity, 3], true],
  ['a histogram whose count is not its +Inf bucket', 'histogram', [1, 2, 3, 4.5, 4], false],
  ['a histogram whose bucket counts decrease', 'histogram', [2, 1, 3, 4.5, 3], false],
  ['a histogram whose bucket count is a fraction', 'histogram', [0.5, 2, 3, 4.5, 3], false],
  ['a histogram with a NaN bucket', 'histogram', [1, NaN, 3, 4.5, 3], false],
  ['a histogram with infinite buckets', 'histogram', [1, 2, Infinity, 4.5, Infinity], false],
  ['a histogram with a negative bucket', 'histogram', [-1, 2, 3, 4.5, 3], false],
  ['a histogram with a negative sum', 'histogram', [1, 2, 3, -4.5, 3], false],
  ['a histogram with a NaN sum', 'histogram', [1, 2, 3, NaN, 3], false],
  ['a histogram with a NaN count', 'histogram', [1, 2, 3, 4.5, NaN], false],
  ['a histogram of negative numbers', 'histogram', [1, 2, 3, -4.5, 3], true, [-1, 0, Infinity]],
  ['a histogram without a bucket for +Inf', 'histogram', [1, 2, 3, 4.5, 3], false, [1, 2, 3]],
  ['a histogram without buckets', 'histogram', [4.5, 3], false, []],
  ['a histogram with bounds out of order', 'histogram', [1, 2, 3, 4.5, 3], false, [2, 1, Infinity]],
  [
    'a histogram with the same bound twice',
    'histogram',
    [1, 2, 3, 4.5, 3],
    false,
    [1, 1, Infinity],
  ],
  ['a histogram with a NaN bound', 'histogram', [1, 2, 3, 4.5, 3], false, [1, NaN, Infinity]],
  ['a summary', 'summary', [1, 2, 4.5, 3], true, [0.5, 0.9]],
  ['a summary without quantiles', 'summary', [4.5, 3], true, []],
  ['a summary without observations', 'summary', [NaN, NaN, 0, 0], true, [0, 1]],
  ['a summary with a negative quantile value', 'summary', [-1, 2, 4.5, 3], false, [0.5, 0.9]],
  ['a summary with a negative sum', 'summary', [1, 2, -4.5, 3], false, [0.5, 0.9]],
  ['a summary with a NaN sum', 'summary', [1, 2, NaN, 3], false, [0.5, 0.9]],
  ['a summary whose count is a fraction', 'summary', [1, 2, 4.5, 2.5], false, [0.5, 0.9]],
  ['a summary with a negative count', 'summary', [1, 2, 4.5, -3], false, [0.5, 0.9]],
  ['a summary with a NaN count', 'summary', [1, 2, 4.5, NaN], false, [0.5, 0.9]],
  ['a summary with a quantile over 1', 'summary', [1, 2, 4.5, 3], false, [0.5, 99]],
  ['a summary with a negative quantile', 'summary', [1, 2, 4.5, 3], false, [-0.5, 0.9]],
  ['a summary of zeros', 'summary', [0, 0, 0, 0], true, [0, 1]],
  [
    'a negative sum of a histogram whose lowest bound is 0',
    'histogram',
    [0, 2, 3, -4.5, 3],
    false,
    [0, 1, Infinity],
  ],
  ['a summary with a NaN quantile', 'summary', [1, 2, 4.5, 3], false, [NaN, 0.9]],
]

for (const [what, type, values, isValid, bounds] of ROWS) {
  test(`OpenMetrics ${isValid ? 'allows' : 'forbids'} ${what}`, () => {
    const family = makeFamily(
      { name: 'x', type, bounds: bounds ?? (type === 'histogram' ? BOUNDS : []) },
      [{ values }],
    )
    assert.equal(countInvalidRows(family), isValid ? 0 : 1)
    assert.deepEqual([...rowsOf(family, 'text')], [0], 'the text format has the row in any case')
  })
}

test('each row of a histogram is checked with its own values', () => {
  const family = makeFamily({ name: 'x', type: 'histogram', bounds: [1, Infinity] }, [
    { labels: 'a="1"', values: [1, 2, 3, 2] },
    { labels: 'a="2"', values: [2, 1, 3, 1] },
    { labels: 'a="3"', values: [0, 1, 3, 1] },
  ])
  assert.deepEqual([...rowsOf(family, 'openmetrics')], [0, 2])
  assert.equal(countInvalidRows(family), 1)
})

test('each row of a summary is checked with its own quantile values', () => {
  const family = makeFamily({ name: 'x', type: 'summary', bounds: [0.5, 0.9] }, [
    { labels: 'a="1"', values: [1, 2, 3, 2] },
    { labels: 'a="2"', values: [1, -2, 3, 1] },
    { labels: 'a="3"', values: [-1, 2, 3, 1] },
    { labels: 'a="4"', values: [1, 2, 3, 1] },
  ])
  assert.deepEqual([...rowsOf(family, 'openmetrics')], [0, 3])
})

test('a histogram has a sum and a count unless it has negative bounds, and a summary always has both', () => {
  assert.equal(hasSumAndCount({ type: 'histogram', bounds: [0, 1, Infinity] }), true)
  assert.equal(hasSumAndCount({ type: 'histogram', bounds: [-0.1, 1, Infinity] }), false)
  assert.equal(hasSumAndCount({ type: 'summary', bounds: [-1] }), true)
})

test('a missing row of a table is not counted as invalid', () => {
  const family = makeFamily({ name: 'x', type: 'counter' }, [{ values: [-1] }, { values: [1] }])
  assert.equal(countInvalidRows({ ...family, order: Uint32Array.of(1) }), 0)
})

test('a row that already has the label le or quantile that a format would add is in no format', () => {
  const rows = ['le="x"', 'a="1",le="2"', 'file="3"', 'a="\\",le=\\""', 'a=",le="', 'le2="1"'].map(
    (labels) => ({ labels, values: [1, 1, 1] }),
  )
  const family = makeFamily({ name: 'x', type: 'histogram', bounds: [Infinity] }, rows)
  assert.deepEqual([...rowsOf(family, 'text')], [2, 3, 4, 5])
  assert.deepEqual([...rowsOf(family, 'openmetrics')], [2, 3, 4, 5])
  const summary = makeFamily({ name: 'x', type: 'summary' }, [
    { labels: 'quantile="1"', values: [1, 1] },
    { labels: 'le="1"', values: [1, 1] },
  ])
  assert.deepEqual([...rowsOf(summary, 'text')], [1])
  const gauge = makeFamily({ name: 'x', type: 'gauge' }, [{ labels: 'le="1"', values: [1] }])
  assert.deepEqual([...rowsOf(gauge, 'text')], [0])
})

function one(type: MetricType, name: string): Family {
  const values = { histogram: [0, 0, 0], summary: [0, 0] } as Partial<Record<MetricType, number[]>>
  return makeFamily({ name, type, bounds: type === 'histogram' ? [Infinity] : [] }, [
    { values: values[type] ?? [1] },
  ])
}

function names(families: ReadonlySet<Family>): string[] {
  return Array.from(families, ({ type, name }) => `${type} ${name}`).sort()
}

/**
 * Each case has a title, families, the families excluded from OpenMetrics, and those excluded from the text
 * format.
 */
const COLLISIONS: readonly [
  families: readonly (readonly [MetricType, string])[],
  openMetrics: readonly string[],
  text: readonly string[],
][] = [
  [
    [
      ['gauge', 'x'],
      ['gauge', 'y'],
    ],
    [],
    [],
  ],
  [
    [
      ['gauge', 'x_total'],
      ['counter', 'x'],
    ],
    ['gauge x_total'],
    ['gauge x_total'],
  ],
  [
    [
      ['gauge', 'x'],
      ['counter', 'x'],
    ],
    ['gauge x'],
    [],
  ],
  [
    [
      ['gauge', 'x_created'],
      ['counter', 'x'],
    ],
    ['gauge x_created'],
    [],
  ],
  [
    [
      ['gauge', 'x_count'],
      ['summary', 'x'],
    ],
    ['gauge x_count'],
    ['gauge x_count'],
  ],
  [
    [
      ['gauge', 'x_sum'],
      ['histogram', 'x'],
    ],
    ['gauge x_sum'],
    ['gauge x_sum'],
  ],
  [
    [
      ['gauge', 'x_bucket'],
      ['histogram', 'x'],
    ],
    ['gauge x_bucket'],
    ['gauge x_bucket'],
  ],
  [
    [
      ['gauge', 'x_bucket'],
      ['summary', 'x'],
    ],
    [],
    [],
  ],
  [
    [
      ['gauge', 'x_info'],
      ['info', 'x'],
    ],
    ['gauge x_info'],
    ['gauge x_info'],
  ],
  [
    [
      ['counter', 'x_total'],
      ['counter', 'x'],
    ],
    ['counter x_total'],
    [],
  ],
  [
    [
      ['histogram', 'x'],
      ['summary', 'x'],
    ],
    ['summary x'],
    ['summary x'],
  ],
  [
    [
      ['unknown', 'x'],
      ['info', 'x'],
    ],
    ['unknown x'],
    [],
  ],
  [
    [
      ['gauge', 'x'],
      ['counter', 'x'],
      ['gauge', 'x_total'],
    ],
    ['gauge x', 'gauge x_total'],
    ['gauge x_total'],
  ],
]

for (const [families, openMetrics, text] of COLLISIONS) {
  const title = families.map((family) => family.join(' ')).join(', ')
  const result =
    openMetrics.length === 0
      ? 'no collision in OpenMetrics'
      : `OpenMetrics excludes ${openMetrics.join(', ')}`
  test(`${title}: ${result}`, () => {
    const inputs = families.map(([type, name]) => one(type, name))
    for (const ordered of [inputs, inputs.toReversed()]) {
      assert.deepEqual(names(findCollidingFamilies(ordered, 'openmetrics')), openMetrics)
      assert.deepEqual(names(findCollidingFamilies(ordered, 'text')), text)
    }
  })
}

test('of two families with the same name and type, the first one is exposed', () => {
  const [first, second] = [one('gauge', 'x'), one('gauge', 'x')]
  assert.deepEqual(findCollidingFamilies([first, second], 'openmetrics'), new Set([second]))
  assert.deepEqual(findCollidingFamilies([first, second], 'text'), new Set([second]))
})

test('the names of a family do not collide with those of itself or of a family without rows', () => {
  const family = one('gauge', 'x')
  const empty = makeFamily({ name: 'x', type: 'counter' }, [])
  assert.deepEqual(findCollidingFamilies([family, family, empty], 'openmetrics'), new Set())
})

test('all rows of a large family are checked, also at the boundaries between steps', () => {
  const rows = Array.from({ length: 10_000 }, (_, row) => ({
    labels: `a="${row}"`,
    values: [row % 4096 === 4095 || row === 9999 ? -1 : 1],
  }))
  const counter = makeFamily({ name: 'x', type: 'counter' }, rows)
  assert.equal(countInvalidRows(counter), 3)
  const shown = rows.flatMap(({ values }, row) => (values[0] === 1 ? [row] : []))
  assert.deepEqual([...rowsOf(counter, 'openmetrics')], shown)

  // The label name `le` is before the boundary of the first megabyte of label text, and its quotation mark
  // after it.
  const value = 'v'.repeat(2 ** 20 - 'a=""'.length - 'le='.length)
  const histogram = makeFamily({ name: 'y', type: 'histogram', bounds: [Infinity] }, [
    { labels: `a="${value}"`, values: [1, 1, 1] },
    { labels: 'le="1"', values: [1, 1, 1] },
  ])
  assert.deepEqual([...rowsOf(histogram, 'text')], [0])
})

function large(type: MetricType, rows: number, wrong: readonly number[] = []): Family {
  const bounds = type === 'histogram' ? [Infinity] : []
  const right = { histogram: [1, 1, 1], info: [1] } as Partial<Record<MetricType, number[]>>
  return makeFamily(
    { name: 'x', type, bounds },
    Array.from({ length: rows }, (_, row) => ({
      labels: `a="${row}"`,
      values: (right[type] ?? [0]).map((value) => (wrong.includes(row) ? -1 : value)),
    })),
  )
}

test('rows are checked only if the type of the family and the format require it', () => {
  const isValidated = (type: MetricType, format: TextFormat) =>
    getRowsIfAllExposed(large(type, 3, [1]), format) === undefined
  const types = ['counter', 'gauge', 'histogram', 'summary', 'info', 'unknown'] as const
  assert.deepEqual(
    types.map((type) => [type, isValidated(type, 'text'), isValidated(type, 'openmetrics')]),
    [
      ['counter', false, true],
      ['gauge', false, false],
      ['histogram', true, true],
      ['summary', true, true],
      ['info', false, true],
      ['unknown', false, false],
    ],
  )
})

test('a family with only valid rows is exposed in its own order, and is checked in steps of 4096 rows', () => {
  for (const [type, rows, turns] of [
    ['counter', 4095, 0],
    ['counter', 4096, 1],
    ['counter', 8192, 2],
    ['info', 8191, 1],
    ['histogram', 8192, 2],
  ] as const) {
    const family = large(type, rows)
    const found = runSteps(findExposedRows(family, 'openmetrics'))
    assert.equal(found.result, family.order)
    assert.equal(found.turns, turns, `${type} ${rows}`)
  }
  const text = runSteps(findExposedRows(large('histogram', 8192), 'text'))
  assert.equal(text.turns, 0, 'no label collides, so no row is validated')
})

test('an invalid row at any position is excluded, and only from OpenMetrics', () => {
  const family = large('info', 12_288, [0, 4095, 12_287])
  const { turns, result } = runSteps(findExposedRows(family, 'openmetrics'))
  assert.equal(turns, 3)
  assert.equal(result.length, 12_285)
  assert.equal(result[0], 1)
  assert.equal(result.includes(4095), false)
  assert.equal(rowsOf(family, 'text'), family.order)
  assert.equal(rowsOf(large('counter', 8192, [8191]), 'openmetrics').length, 8191)
})

test('the exposed families are sorted by name and unique, and the input array does not change', () => {
  const variants: Family[][] = []
  for (const other of ['a_total', 'a_count', 'a']) {
    for (const types of [
      ['counter', 'gauge'],
      ['gauge', 'gauge'],
      ['summary', 'gauge'],
      ['gauge', 'counter'],
    ] as const) {
      for (const rows of [
        [1, 1],
        [0, 1],
        [1, 0],
      ] as const) {
        const pair = ['a', other].map((name, i) =>
          makeFamily({ name, type: types[i]! }, rows[i]! > 0 ? [{ values: [1, 1] }] : []),
        )
        variants.push(pair, [...pair, pair[0]!], [...pair, { ...pair[0]! }], pair.toReversed())
      }
    }
  }
  for (const format of ['text', 'openmetrics'] as const) {
    for (const families of variants) {
      const before = [...families]
      const exposed = listExposedFamilies(families, format)
      const colliding = findCollidingFamilies(families, format)
      const name = (family: Family) => getExposedName(family, format)
      assert.deepEqual(new Set(exposed), new Set(families.filter((each) => !colliding.has(each))))
      assert.equal(exposed.length, new Set(exposed).size)
      assert.deepEqual(exposed.map(name), exposed.map(name).sort(compareNames))
      assert.deepEqual(families, before)
    }
  }
})

test('the label text of a family is searched for le or quantile in steps of one megabyte', () => {
  const long = (megabytes: number) =>
    makeFamily({ name: 'x', type: 'histogram', bounds: [Infinity] }, [
      { labels: `a="${'v'.repeat(megabytes * 2 ** 20 - 'a=""'.length)}"`, values: [1, 1, 1] },
    ])
  assert.equal(runSteps(findExposedRows(long(1), 'text')).turns, 0)
  assert.equal(runSteps(findExposedRows(long(2), 'text')).turns, 1)
  assert.equal(runSteps(findExposedRows(long(3), 'text')).turns, 2)
})
