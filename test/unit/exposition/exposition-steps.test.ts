import assert from 'node:assert/strict'
import { test } from 'node:test'
import { createBytes, finishBytes, VALUE_BYTES } from '../../../src/exposition/bytes.js'
import { render, textSteps } from '../../../src/exposition/exposition.js'
import type { Family } from '../../../src/metrics/family.js'
import { metadataOf, roomFor } from '../../../src/exposition/lines.js'
import { recall, type Variant } from '../../../src/exposition/memo.js'
import {
  keepPlain,
  partOf,
  writeWithTimestamps,
  writingPlain,
} from '../../../src/exposition/part.js'
import { inSlices } from '../../../src/exposition/slices.js'
import { STAMP_BYTES, stampFor, writeStamped } from '../../../src/exposition/stamp.js'
import { exposableRows } from '../../../src/exposition/validity.js'
import { changed, fresh, makeFamily, many, manyFamilies } from '../../support/families.js'
import { runSteps } from '../../support/steps.js'

const PLAIN = { created: false }
const CREATED = { created: true }

const textOf = (family: Family, format: 'text' | 'openmetrics', options = PLAIN) =>
  Buffer.from(render([family], format, options)).toString()

test('work of more than 5 ms lets others have their turn, and less does not', async () => {
  for (const [stepMs, sizes] of [
    [1, [5, 5, 2]],
    [5, Array<number>(12).fill(1)],
    [0, [12]],
  ] as const) {
    // Not from 0 on.
    let now = 1000
    let turn = 0
    const turnOf: number[] = []
    function* work() {
      for (let step = 0; step < 12; step++) {
        turnOf[turn] = (turnOf[turn] ?? 0) + 1
        now += stepMs
        yield
      }
      return 'done'
    }
    let other: NodeJS.Immediate
    const others = () => {
      turn++
      other = setImmediate(others)
    }
    other = setImmediate(others)
    assert.equal(await inSlices(work(), () => now), 'done')
    clearImmediate(other)
    assert.deepEqual(
      turnOf.filter((steps) => steps > 0),
      sizes,
    )
  }
})

test('without a clock of its own it takes the real one', async () => {
  let turns = 0
  const other = setImmediate(() => turns++)
  function* work() {
    while (turns === 0) yield
    return 'done'
  }
  assert.equal(await inSlices(work()), 'done')
  clearImmediate(other)
})

test('families are looked at a hundred at a time, and written 100 KB at a time', () => {
  const families = manyFamilies(250)
  assert.equal(runSteps(textSteps(families, 'text', PLAIN)).turns, 2)
  assert.equal(runSteps(textSteps(families.slice(0, 100), 'text', PLAIN)).turns, 1)
  assert.equal(runSteps(textSteps(families.slice(0, 99), 'text', PLAIN)).turns, 0)
  const wordy = manyFamilies(10, 'h'.repeat(60_000))
  assert.equal(runSteps(textSteps(wordy, 'text', PLAIN)).turns, 5)
})

test('rows are written 4096 values at a time, anew or in place, of one column or of several', () => {
  // A histogram has five lines a row here.
  for (const [type, rows, turns] of [
    ['gauge', 4096, 0],
    ['gauge', 4097, 1],
    // And once for the bytes that they make, here and below.
    ['gauge', 12_289, 4],
    ['histogram', 820, 1],
    ['histogram', 821, 2],
    ['histogram', 1641, 3],
  ] as const) {
    const family = many(type, rows, 1)
    const options = { created: false }
    // What it takes to look whether a histogram's rows are right is not of this.
    exposableRows(family, 'text')
    assert.equal(runSteps(textSteps([family], 'text', options)).turns, turns, `${type} ${rows}`)
    const next = changed(family, (value) => value * 10)
    exposableRows(next, 'text')
    assert.equal(
      runSteps(textSteps([next], 'text', options)).turns,
      turns,
      `${type} ${rows} patched`,
    )
  }
})

test('a histogram of many steps is patched as it is rendered anew, wherever it changed', () => {
  let family = many('histogram', 3000, (row) => row)
  type Change = (value: number, at: number, all: Float64Array) => number
  for (const change of [
    (value) => value * 1000,
    // To what others were, of the row before too.
    (value, at, all) => all[2 * (at - (at % 5)) - at] ?? value,
    (value, at) => (at % 7 === 3 ? value + 1 : value),
    (value, at) => (at % 5 === 4 ? value / 8 : value),
    (value, at) => (at === 14_999 ? 5 : value),
    (value) => value,
    (value, at) => (at % 1000 === 0 ? -0 : value),
    (value, at) => (at % 1000 === 0 ? 0 : value),
  ] satisfies Change[]) {
    family = changed(family, change)
    for (const format of ['text', 'openmetrics'] as const) {
      assert.equal(textOf(family, format), textOf(fresh(family), format))
    }
  }
})

test('text and OpenMetrics have one rendering in memory, unless they show something else', () => {
  const known = (family: Family, variant: Variant) =>
    recall(family, exposableRows(family, 'openmetrics'), variant) !== undefined
  const rendered = (family: Family, options = PLAIN) => {
    textOf(family, 'openmetrics', options)
    return (['rows', 'openmetrics', 'created'] as const).filter((variant) => known(family, variant))
  }
  const born = (family: Family): Family => ({ ...family, created: Float64Array.of(1, 2) })
  assert.deepEqual(rendered(many('counter', 2, 1)), ['rows'])
  assert.deepEqual(rendered(many('gauge', 2, NaN)), ['rows'])
  // OpenMetrics has one row less.
  assert.deepEqual(rendered(many('counter', 2, (row) => row - 1)), ['openmetrics'])
  // Text has one row less as well.
  const clash = makeFamily({ name: 'x', type: 'histogram', bounds: [Infinity] }, [
    { labels: 'le="1"', values: [1, 1, 1] },
    { labels: 'a="1"', values: [1, 1, 1] },
  ])
  assert.deepEqual(rendered(clash), ['rows'])
  // No sum in OpenMetrics.
  const negative = makeFamily({ name: 'x', type: 'histogram', bounds: [-1, Infinity] }, [
    { values: [1, 1, 1, 1] },
  ])
  assert.deepEqual(rendered(negative), ['openmetrics'])
  assert.deepEqual(rendered(born(many('counter', 2, 1)), CREATED), ['created'])
  assert.deepEqual(rendered(born(many('counter', 2, 1)), PLAIN), ['rows'])
  assert.deepEqual(rendered(born(many('gauge', 2, 1)), CREATED), ['rows'])
  assert.deepEqual(rendered(many('counter', 2, 1), CREATED), ['rows'])
  const both = born(many('counter', 2, 1))
  textOf(both, 'text', CREATED)
  assert.equal(recall(both, both.order, 'created'), undefined)
  assert.equal(recall(both, both.order, 'rows') !== undefined, true)
})

test('there is as much room as it may take, and no more where it is known', () => {
  const family = { ...many('counter', 3, 7), created: Float64Array.of(1, 2, 3) }
  const rows = family.order
  const metadata = metadataOf(family, 'openmetrics').length
  const part = partOf(family, rows, 'openmetrics', true)
  assert.equal(part.plainRoom, roomFor(family, 'openmetrics', true))
  assert.equal(part.room, metadata + part.plainRoom)
  assert.equal(
    partOf(family, rows, 'openmetrics', false).plainRoom,
    roomFor(family, 'openmetrics', false),
  )
  const stamped = { ...family, timestampMs: 5 }
  assert.equal(
    partOf(stamped, rows, 'openmetrics', true).room,
    metadata + part.plainRoom + 6 * STAMP_BYTES,
  )
  assert.equal(
    partOf(stamped, rows, 'openmetrics', false).room,
    metadata + roomFor(family, 'openmetrics', false) + 3 * STAMP_BYTES,
  )
  // Written, it is known: behind something else.
  const out = createBytes(100 + part.room)
  out.length = 100
  while (!writingPlain(out, part, 'openmetrics')());
  const written = out.length - 100
  keepPlain(part, out, 100, false)
  assert.equal(partOf(family, rows, 'openmetrics', true).plainRoom, written)
  const next = changed(family, (value) => value + 1)
  assert.equal(partOf(next, rows, 'openmetrics', true).plainRoom, written + 3 * VALUE_BYTES)
})

test('a rendering of what will not last is kept apart, and only where there is something new', () => {
  const rendered = (family: Family, isPassing: boolean) => {
    const part = partOf(family, family.order, 'text', false)
    const out = createBytes(100 + part.room)
    out.length = 100
    while (!writingPlain(out, part, 'text')());
    keepPlain(part, out, 100, isPassing)
    return { out, kept: recall(family, family.order, 'rows')! }
  }
  const family = many('gauge', 2, 1)
  const passing = rendered(family, true)
  assert.notEqual(passing.kept.bytes.buffer, passing.out.buffer.buffer)
  const again = rendered(family, true)
  assert.equal(again.kept, passing.kept)
  const next = changed(family, () => 2)
  assert.notEqual(rendered(next, true).kept, passing.kept)
  const lasting = rendered(next, false)
  assert.equal(lasting.kept.bytes.buffer, lasting.out.buffer.buffer)
})

test('rows are stamped 4096 lines at a time; what is as it was is not written anew before', () => {
  const turns = (rows: number, again: boolean) => {
    const family = { ...many('gauge', rows, 1), timestampMs: 5 }
    let last = 0
    for (let times = again ? 2 : 1; times > 0; times--) {
      const part = partOf(family, family.order, 'text', false)
      const out = createBytes(part.room)
      last = runSteps(writeWithTimestamps(out, part, 'text')).turns
      assert.equal(Buffer.from(finishBytes(out)).toString().split(' 1 5\n').length, rows + 1)
    }
    return last
  }
  // Of the writing and of the stamping.
  assert.equal(turns(4095, false), 0)
  assert.equal(turns(4097, false), 2)
  assert.equal(turns(4095, true), 0)
  assert.equal(turns(4097, true), 1)
  assert.equal(turns(12_289, true), 3)
  const bytes = Buffer.from('a 1\nb 2\n')
  const out = createBytes(100)
  runSteps(writeStamped(out, { bytes, start: 4, end: 8 }, stampFor(1500, 'openmetrics')))
  assert.equal(Buffer.from(finishBytes(out)).toString(), 'b 2 1.5\n')
})
