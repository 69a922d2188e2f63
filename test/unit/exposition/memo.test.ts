import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Family, MetricType } from '../../../src/metrics/family.js'
import { detached, forget, recall, remember, type Rendering } from '../../../src/exposition/memo.js'
import { compareNames, exposedName, type Format } from '../../../src/exposition/metric-names.js'
import { planned } from '../../../src/exposition/plan.js'
import { collisions, textCollisions } from '../../../src/exposition/validity.js'
import { makeFamily } from '../../support/families.js'

const GAUGE = makeFamily({ name: 'g', type: 'gauge', help: 'Help.', unit: 'seconds', bounds: [] }, [
  { labels: 'a="1"', values: [1] },
  { labels: 'a="2"', values: [2] },
])

function renderingOf(family: Family, rows = family.order): Rendering {
  const layout = { rows, columns: [0], gaps: new Uint32Array(2), metadata: {} }
  return { family, layout, bytes: new Uint8Array([1, 2, 3, 4, 5]), start: 1, end: 4 }
}

test('a family is remembered while nothing but its values changed', () => {
  const family = { ...GAUGE, order: Uint32Array.of(0, 1) }
  assert.equal(recall(family, family.order, 'rows'), undefined)
  const rendering = renderingOf(family)
  remember('rows', rendering)
  assert.equal(recall(family, family.order, 'rows'), rendering)
  const moved = { ...family, values: Float64Array.of(3, 4) }
  assert.equal(recall(moved, moved.order, 'rows'), rendering)
  assert.equal(recall(family, family.order, 'created'), undefined)
  // Other rows are left out.
  assert.equal(recall(family, Uint32Array.of(0, 1), 'rows'), undefined)
  for (const change of [
    { length: 3 },
    { labels: { ...family.labels } },
    { created: Float64Array.of(1, 2) },
    { name: 'other' },
    { type: 'unknown' as MetricType },
    { bounds: [] },
    { help: 'Other.' },
    { unit: '' },
    { values: new Float64Array(3) },
  ]) {
    const changed = { ...family, ...change }
    assert.equal(recall(changed, family.order, 'rows'), undefined, Object.keys(change)[0])
  }
  assert.equal(recall({ ...family, order: family.order.slice() }, family.order, 'rows'), undefined)
  forget(family)
  assert.equal(recall(family, family.order, 'rows'), undefined)
})

test('what nobody asks for while another is rendered eleven times is forgotten, and no sooner', () => {
  const family = { ...GAUGE, order: Uint32Array.of(0, 1) }
  const isKnown = (variant: 'rows' | 'openmetrics') =>
    recall(family, family.order, variant) !== undefined
  const again = (times: number) => {
    for (let i = 0; i < times; i++) remember('openmetrics', renderingOf(family))
  }
  remember('rows', renderingOf(family))
  again(10)
  assert.equal(isKnown('rows'), true)
  // Asked for again: counted from the beginning.
  remember('rows', renderingOf(family))
  again(10)
  assert.equal(isKnown('rows'), true)
  again(1)
  assert.equal(isKnown('rows'), false)
  assert.equal(isKnown('openmetrics'), true)
  again(20)
  assert.equal(isKnown('openmetrics'), true)
})

test('a rendering apart has its bytes alone', () => {
  const rendering = renderingOf(GAUGE)
  const apart = detached(rendering)
  assert.deepEqual([...apart.bytes], [2, 3, 4])
  assert.equal(apart.bytes.buffer.byteLength, 3)
  assert.deepEqual([apart.start, apart.end], [0, 3])
  assert.equal(apart.family, GAUGE)
  assert.equal(apart.layout, rendering.layout)
})

test('the plan is that of the families given, whatever the one before was', () => {
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
        variants.push(pair)
      }
    }
  }
  // The same object given twice is shown once; and fewer than before.
  variants.push([...variants[0]!, variants[0]![0]!], variants[0]!.slice(0, 1), [])
  // Another of the same name and type, of which the first given stays.
  variants.push([...variants[0]!, { ...variants[0]![0]! }])
  for (const format of ['text', 'openmetrics'] as const) {
    for (const before of variants) {
      for (const families of variants) {
        planned(before, format)
        check(families, format)
      }
    }
  }
})

function check(families: readonly Family[], format: Format): void {
  const before = [...families]
  const shown = planned(families, format)
  const leftOut = format === 'text' ? textCollisions(families) : collisions(families)
  const name = (family: Family) => exposedName(family, format)
  assert.deepEqual(new Set(shown), new Set(families.filter((family) => !leftOut.has(family))))
  assert.equal(shown.length, new Set(shown).size)
  assert.deepEqual(shown.map(name), shown.map(name).sort(compareNames))
  assert.deepEqual(families, before)
}

test('the next snapshot of the same names has the plan of the one before, with its own families', () => {
  const of = (rows: number) => [
    makeFamily({ name: 'b', type: 'gauge' }, [{ values: [1] }]),
    makeFamily({ name: 'a', type: 'counter' }, rows > 0 ? [{ values: [1] }] : []),
    makeFamily({ name: 'a', type: 'gauge' }, [{ values: [rows] }]),
  ]
  const names = (families: readonly Family[], format: Format) =>
    planned(families, format).map((family) => families.indexOf(family))
  for (const rows of [0, 0, 1, 1, 0]) {
    // A gauge beside a counter of its name is left out, where that one has rows.
    assert.deepEqual(names(of(rows), 'openmetrics'), rows > 0 ? [1, 0] : [1, 2, 0])
    assert.deepEqual(names(of(rows), 'text'), [2, 1, 0])
    assert.deepEqual(names(of(rows).slice(0, 2), 'openmetrics'), [1, 0])
  }
})
