import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import {
  copyText,
  createWriter,
  finishBytes,
  reserve,
  createView,
} from '../../../src/exposition/bytes.js'
import {
  createExposition,
  render,
  renderInSteps,
  type ExpositionOptions,
} from '../../../src/exposition/exposition.js'
import type { ExpositionFormat } from '../../../src/exposition/negotiate.js'
import { runInSlices, type Steps } from '../../../src/exposition/slices.js'
import { computeTextCapacity } from '../../../src/exposition/text.js'
import { type Family, type MetricType } from '../../../src/metrics/family.js'
import { getLabels } from '../../../src/metrics/labels.js'
import { createTable, type FamilyMeta, type Table } from '../../../src/metrics/table.js'
import { many, manyFamilies } from '../../support/families.js'
import { decodeFamilies } from '../../support/protobuf.js'
import { referenceText } from '../../support/reference-exposition.js'
import { runSteps } from '../../support/steps.js'

const PLAIN = { created: false }
const FORMATS = ['text', 'openmetrics', 'protobuf'] as const
const TYPES: readonly MetricType[] = ['counter', 'gauge', 'histogram', 'summary', 'info', 'unknown']

/**
 * Compares the text formats with the reference encoder. Protobuf has no reference encoder, so it is compared
 * with a rendering of a copy of the families. That comparison shows that earlier renderings have no effect.
 */
function assertReference(
  bytes: Uint8Array,
  families: readonly Family[],
  format: ExpositionFormat,
  options: ExpositionOptions,
): void {
  const actual = Buffer.from(bytes)
  if (format === 'protobuf') {
    assert.equal(Buffer.compare(actual, render(structuredClone(families), format, options)), 0)
    // The protobuf decoder throws an error if the bytes are malformed.
    decodeFamilies(bytes)
  } else {
    assert.equal(actual.toString(), referenceText(families, format, options))
  }
}

function metaOf(type: MetricType, name: string): FamilyMeta {
  const bounds = { histogram: [-1, 0.5, Infinity], summary: [0.5, 0.9] }
  return {
    name,
    type,
    help: 'Grüße "\\\n',
    unit: '',
    bounds: type === 'histogram' || type === 'summary' ? bounds[type] : [],
  }
}

const value = fc.oneof(
  { weight: 4, arbitrary: fc.integer({ min: 0, max: 1200 }) },
  fc.constantFrom(0, -0, 1, 9, 10, 99, 100, NaN, Infinity, -Infinity, 1e9, 2 ** 31 - 1, 2 ** 31),
  fc.constantFrom(-1.5, 1e21, 2 ** 53),
  fc.double(),
)

type Change =
  | { do: 'set'; table: number; row: number; column: number; value: number }
  | { do: 'created'; table: number; row: number; value: number }
  | { do: 'missing'; table: number; row: number; isMissing: boolean }
  | { do: 'append'; table: number; label: number }
type Rendering = {
  do: 'render'
  format: ExpositionFormat
  created: boolean
  names: boolean
  timestamp: number | undefined
}

const index = fc.nat(40)
const step: fc.Arbitrary<Change | Rendering> = fc.oneof(
  {
    weight: 12,
    arbitrary: fc.record({
      do: fc.constant('set' as const),
      table: index,
      row: index,
      column: index,
      value,
    }),
  },
  {
    weight: 6,
    arbitrary: fc.record({
      do: fc.constant('render' as const),
      format: fc.constantFrom(...FORMATS),
      created: fc.boolean(),
      names: fc.boolean(),
      timestamp: fc.option(fc.constantFrom(1, 999, 1700000000123), { nil: undefined }),
    }),
  },
  fc.record({ do: fc.constant('created' as const), table: index, row: index, value }),
  fc.record({
    do: fc.constant('missing' as const),
    table: index,
    row: index,
    isMissing: fc.boolean(),
  }),
  fc.record({ do: fc.constant('append' as const), table: index, label: fc.nat(30) }),
)

const labelOf = (label: number) =>
  label === 0 ? '' : `a="${'ä'.repeat((label % 7) * 20)}${label}"`

function apply(tables: readonly Table[], lengths: number[], change: Change): void {
  const at = change.table % tables.length
  const table = tables[at]!
  if (change.do === 'append') {
    table.append(labelOf(change.label))
    lengths[at]!++
    return
  }
  if (lengths[at] === 0) return
  const row = change.row % lengths[at]!
  if (change.do === 'set') table.set(row, change.column % table.valuesPerRow, change.value)
  else if (change.do === 'created') table.setCreated(row, change.value)
  else table.setMissing(row, change.isMissing)
}

test('after any changes of a table, an exposition matches the reference encoder, and later changes do not affect it', () => {
  fc.assert(
    fc.property(
      fc.array(fc.constantFrom(...TYPES), { minLength: 1, maxLength: 4 }),
      fc.array(fc.nat(30), { maxLength: 12 }),
      fc.array(step, { minLength: 1, maxLength: 80 }),
      (types, labels, steps) => {
        const tables = types.map((type, i) => createTable(metaOf(type, `x${i}`)))
        const lengths = tables.map(() => labels.length)
        for (const table of tables) for (const label of labels) table.append(labelOf(label))
        const rendered: { bytes: Uint8Array; copy: Uint8Array }[] = []
        for (const step of steps) {
          if (step.do !== 'render') {
            apply(tables, lengths, step)
            continue
          }
          const { format, created, timestamp } = step
          const families = tables.map((table, i): Family => {
            const family = table.snapshot()
            return timestamp && i !== 1 ? { ...family, timestampMs: timestamp } : family
          })
          const options = { created, ...(step.names && { names: new Set(['x0', 'x1_total']) }) }
          const bytes = render(families, format, options)
          assertReference(bytes, families, format, options)
          rendered.push({ bytes, copy: bytes.slice() })
        }
        for (const { bytes, copy } of rendered) assert.deepEqual(bytes, copy, 'changed later')
      },
    ),
    { numRuns: 400 },
  )
})

test('a table that gets one row between two renderings matches the reference encoder, whatever the length of its labels', () => {
  const labels = fc.array(fc.nat(12), { minLength: 30, maxLength: 60 })
  const property = fc.property(labels, fc.constantFrom(...TYPES), (lengths, type) => {
    const table = createTable(metaOf(type, 'x'))
    for (const [row, length] of lengths.entries()) {
      table.append(`a="${'b'.repeat(length)}${row}"`)
      for (let column = 0; column < table.valuesPerRow; column++) table.set(row, column, 7)
      table.setCreated(row, 1)
      for (const format of ['text', 'openmetrics'] as const) {
        const families = [table.snapshot()]
        const options = { created: true }
        assertReference(render(families, format, options), families, format, options)
      }
    }
  })
  fc.assert(property, { numRuns: 60 })
})

/** Creates a gauge with `rows` rows, and a function that sets the value of every `every`-th row. */
function largeTable(rows: number) {
  const table = createTable(metaOf('gauge', 'large'))
  for (let row = 0; row < rows; row++) table.append(`row="${row}"`)
  const setAll = (valueOf: (row: number) => number, every: number) => {
    for (let row = 0; row < rows; row += every) table.set(row, 0, valueOf(row))
  }
  return { table, setAll }
}

test('a family that is rendered in many steps has the same bytes as with the reference encoder', async () => {
  const { table, setAll } = largeTable(20_000)
  for (const [every, scale] of [
    [1, 1],
    [7, 1000],
    [1, 0.1],
    [5000, 3],
    [19_999, 1e9],
  ] as const) {
    setAll((row) => row * scale, every)
    const families = [table.snapshot(), many('histogram', 3000, (row) => row * scale)]
    const exposition = createExposition(families, PLAIN)
    for (const format of FORMATS) {
      assertReference(await exposition.bytes(format), families, format, PLAIN)
    }
  }
})

test('a protobuf exposition that is rendered in many steps has every sample', () => {
  const families = [many('gauge', 20_000, (row) => row / 7), many('counter', 5, 1)]
  const [family] = decodeFamilies(render(families.slice(0, 1), 'protobuf', PLAIN))
  assert.deepEqual(
    family?.metrics.map(({ labels, value }) => [labels[0]?.[1], value]),
    Array.from({ length: 20_000 }, (_, row) => [`${row}`, row / 7]),
  )
})

test('interleaved renderings of several snapshots do not affect each other', () => {
  const turns = fc.array(
    fc.oneof(
      fc.record({ scale: fc.constantFrom(1, 7, 1000, 0.1), every: fc.constantFrom(1, 3, 5000) }),
      fc.record({ old: fc.nat(2), format: fc.constantFrom(...FORMATS) }),
      fc.record({ running: fc.nat(5), steps: fc.integer({ min: 1, max: 6 }) }),
    ),
    { minLength: 10, maxLength: 40 },
  )
  type Running = { steps: Steps<Uint8Array>; families: Family[]; format: ExpositionFormat }
  fc.assert(
    fc.property(turns, (turns) => {
      const { table, setAll } = largeTable(5000)
      const snapshots = [[table.snapshot()]]
      const running: Running[] = []
      const done: { bytes: Uint8Array; families: Family[]; format: ExpositionFormat }[] = []
      const run = (at: number, steps: number) => {
        const { steps: work, ...what } = running[at]!
        for (let i = 0; i < steps; i++) {
          const { done: isDone, value: bytes } = work.next()
          if (!isDone) continue
          running.splice(at, 1)
          done.push({ bytes, ...what })
          return
        }
      }
      for (const turn of turns) {
        if ('scale' in turn) {
          setAll((row) => row * turn.scale, turn.every)
          snapshots.unshift([table.snapshot()])
        } else if ('format' in turn) {
          const { format, old } = turn
          const families = snapshots[Math.min(old, snapshots.length - 1)]!
          running.push({ steps: renderInSteps(families, format, PLAIN), families, format })
        } else if (running.length > 0) run(turn.running % running.length, turn.steps)
      }
      while (running.length > 0) run(0, Infinity)
      for (const { bytes, families, format } of done) {
        assertReference(bytes, families, format, PLAIN)
      }
    }),
    { numRuns: 15 },
  )
})

test('copyText copies text with any characters and length between any offsets', () => {
  // The characters are one of each UTF-8 length, and those whose bytes are closest to a NaN.
  const character = fc.constantFrom('\u007f', '\u{10ffff}', '\u{f0000}', '\u{10000}', 'a', 'ä', '€')
  const text = fc.oneof(
    fc.array(character, { maxLength: 40 }).map((all) => all.join('')),
    fc.string({ unit: 'binary', maxLength: 40 }),
  )
  fc.assert(
    fc.property(text, fc.nat(9), fc.nat(9), (text, from, to) => {
      const bytes = Buffer.from(text)
      const source = Buffer.concat([Buffer.alloc(from, 0xff), bytes, Buffer.alloc(9, 0xff)])
      const target = Buffer.alloc(to + bytes.length + 9, 0x2e)
      const end = copyText(createView(target), to, createView(source), from, from + bytes.length)
      assert.equal(end, to + bytes.length)
      const expected = Buffer.concat([Buffer.alloc(to, 0x2e), bytes, Buffer.alloc(9, 0x2e)])
      assert.deepEqual(target, expected)
    }),
    { numRuns: 2000 },
  )
})

test('a byte writer that grows loses no bytes, and finishBytes throws if bytes were written past the end', () => {
  const out = createWriter(2)
  for (let i = 0; i < 1000; i++) {
    reserve(out, 1)
    out.bytes[out.length++] = i % 256
    out.view.setUint8(out.length - 1, out.bytes[out.length - 1]!)
  }
  assert.deepEqual(
    [...finishBytes(out)],
    Array.from({ length: 1000 }, (_, i) => i % 256),
  )
  out.length = out.bytes.length + 1
  assert.throws(() => finishBytes(out), /bytes in a buffer of/)
})

test('the computed capacity of a text exposition is large enough, so that its buffer does not grow', () => {
  const tiny = -1.2345678901234567e-100
  for (const type of TYPES) {
    for (const format of ['text', 'openmetrics'] as const) {
      for (const timestamp of [{}, { timestampMs: 8_640_000_000_000_001 }]) {
        const plain = many(type, 100, type === 'gauge' ? tiny : type === 'info' ? 1 : -tiny)
        const family = {
          ...plain,
          ...timestamp,
          help: '\n€"\\'.repeat(50),
          created: plain.values.map(() => -tiny),
        }
        const end = format === 'openmetrics' ? 3 * '# EOF\n'.length : 0
        const { buffer } = render([family], format, { created: true })
        assert.equal(buffer.byteLength, computeTextCapacity(family) + end, `${type} ${format}`)
      }
    }
  }
})

test('each step of a rendering writes 64 KB, for one family or many, in every format', () => {
  const wordy = manyFamilies(90, 'h'.repeat(10_000))
  for (const families of [[many('gauge', 30_000, 1)], [many('histogram', 5000, 1)], wordy]) {
    for (const format of FORMATS) {
      // Checking the rows of a histogram takes steps that write nothing.
      const validation = families[0]!.type === 'histogram' ? 2 : 0
      const { turns, result } = runSteps(renderInSteps(families, format, PLAIN))
      const most = Math.ceil(result.length / 65_536)
      // A step can exceed 64 KB by one row or by the metadata of one family. In this test, both have at most
      // 11,000 bytes.
      const least = Math.floor(result.length / (65_536 + 11_000))
      assert.ok(turns >= least && turns <= most + validation, `${least} … ${turns} … ${most}`)
    }
  }
})

test('runInSlices lets other work run after 5 ms, and not before', async () => {
  for (const [stepMs, sizes] of [
    [1, [5, 5, 2]],
    [5, Array<number>(12).fill(1)],
    [0, [12]],
  ] as const) {
    // The fake clock starts at 1000, because the time of a real clock does not start at 0 either.
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
    assert.equal(await runInSlices(work(), () => now), 'done')
    clearImmediate(other)
    assert.deepEqual(
      turnOf.filter((steps) => steps > 0),
      sizes,
    )
  }
})

test('without a clock option, runInSlices uses the real clock', async () => {
  let turns = 0
  const other = setImmediate(() => turns++)
  function* work() {
    while (turns === 0) yield
    return 'done'
  }
  assert.equal(await runInSlices(work()), 'done')
  clearImmediate(other)
})

test('a rendered exposition does not stay in memory', async () => {
  const { setFlagsFromString } = await import('node:v8')
  const { runInNewContext } = await import('node:vm')
  setFlagsFromString('--expose_gc')
  const gc = runInNewContext('gc') as () => void
  const { table, setAll } = largeTable(100)
  const rendered = async () => {
    setAll((row) => row, 1)
    const families = [table.snapshot()]
    const exposition = createExposition(families, PLAIN)
    return Promise.all(FORMATS.map(async (format) => new WeakRef(await exposition.bytes(format))))
  }
  const references = await rendered()
  // A WeakRef keeps its target in memory until the current turn of the event loop ends, so the test waits for
  // the next turn.
  for (let i = 0; i < 20 && references.some((each) => each.deref() !== undefined); i++) {
    await new Promise(setImmediate)
    gc()
  }
  assert.deepEqual(
    references.map((each) => each.deref()),
    [undefined, undefined, undefined],
  )
  assert.equal(getLabels(table.snapshot().labels, 7), 'row="7"')
})
