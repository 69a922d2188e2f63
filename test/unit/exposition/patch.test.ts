import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import {
  createExposition,
  render,
  textSteps,
  type ExpositionOptions,
  type Format,
} from '../../../src/exposition/exposition.js'
import type { Family, MetricType } from '../../../src/metrics/family.js'
import type { AnyFormat } from '../../../src/exposition/negotiate.js'
import { protobufSteps, renderProtobuf } from '../../../src/exposition/protobuf.js'
import { inSlices, type Steps } from '../../../src/exposition/slices.js'
import { createTable, type FamilyMeta, type Table } from '../../../src/metrics/table.js'
import { fresh } from '../../support/families.js'

const TYPES: readonly MetricType[] = ['counter', 'gauge', 'histogram', 'summary', 'info', 'unknown']

function exposed(families: readonly Family[], format: AnyFormat, options: ExpositionOptions) {
  return format === 'protobuf'
    ? renderProtobuf(families, options)
    : render(families, format, options)
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
  fc.constantFrom(0, -0, 1, 9, 10, 99, 100, NaN, Infinity, -Infinity, 2 ** 31, -1.5, 1e21),
  fc.double(),
)

type Step =
  | { do: 'set'; table: number; row: number; column: number; value: number }
  | { do: 'created'; table: number; row: number; value: number }
  | { do: 'missing'; table: number; row: number; isMissing: boolean }
  | { do: 'append'; table: number; label: number }
  | {
      do: 'render'
      format: AnyFormat
      created: boolean
      names: boolean
      timestamp: number | undefined
    }

const index = fc.nat(40)
const set = fc.record({
  do: fc.constant('set' as const),
  table: index,
  row: index,
  column: index,
  value,
})
const shown = fc.record({
  do: fc.constant('render' as const),
  format: fc.constantFrom('text' as const, 'openmetrics' as const, 'protobuf' as const),
  created: fc.boolean(),
  names: fc.boolean(),
  timestamp: fc.option(fc.constantFrom(1, 999, 1700000000123), { nil: undefined }),
})
const step: fc.Arbitrary<Step> = fc.oneof(
  { weight: 12, arbitrary: set },
  { weight: 6, arbitrary: shown },
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

function apply(tables: readonly Table[], lengths: number[], step: Exclude<Step, { do: 'render' }>) {
  const at = step.table % tables.length
  const table = tables[at]!
  if (step.do === 'append') {
    table.append(labelOf(step.label))
    lengths[at]!++
    return
  }
  if (lengths[at] === 0) return
  const row = step.row % lengths[at]!
  if (step.do === 'set') table.set(row, step.column % table.width, step.value)
  else if (step.do === 'created') table.setCreated(row, step.value)
  else table.setMissing(row, step.isMissing)
}

test('a patched exposition is, byte for byte, one that is rendered anew, and stays so', () => {
  fc.assert(
    fc.property(
      fc.array(fc.constantFrom(...TYPES), { minLength: 1, maxLength: 4 }),
      fc.array(fc.nat(30), { maxLength: 12 }),
      fc.array(step, { minLength: 1, maxLength: 80 }),
      (types, labels, steps) => {
        const tables = types.map((type, i) => createTable(metaOf(type, `x${i}`)))
        const lengths = tables.map(() => labels.length)
        for (const table of tables) for (const label of labels) table.append(labelOf(label))
        const given: { bytes: Uint8Array; copy: Uint8Array }[] = []
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
          const bytes = exposed(families, format, options)
          assert.equal(
            Buffer.from(bytes).toString('latin1'),
            Buffer.from(exposed(families.map(fresh), format, options)).toString('latin1'),
          )
          given.push({ bytes, copy: bytes.slice() })
        }
        for (const { bytes, copy } of given) assert.deepEqual(bytes, copy, 'changed later')
      },
    ),
    { numRuns: 400 },
  )
})

/** A gauge of so many rows, and what sets every `every`-th of them. */
function largeTable(rows: number) {
  const table = createTable(metaOf('gauge', 'large'))
  for (let row = 0; row < rows; row++) table.append(`row="${row}"`)
  const setAll = (value: (row: number) => number, every: number) => {
    for (let row = 0; row < rows; row += every) table.set(row, 0, value(row))
  }
  return { table, setAll }
}

test('a family of many steps is patched as it is rendered anew', async () => {
  const { table, setAll } = largeTable(20_000)
  for (const [every, scale] of [
    [1, 1],
    [7, 1000],
    [1, 0.1],
    [5000, 3],
    [19_999, 1e9],
  ] as const) {
    setAll((row) => row * scale, every)
    const families = [table.snapshot()]
    const exposition = createExposition(families, { created: false })
    for (const format of ['text', 'openmetrics', 'protobuf'] as const) {
      const bytes = await exposition.bytes(format)
      const again = exposed(families.map(fresh), format, { created: false })
      assert.equal(Buffer.compare(bytes, again), 0)
    }
  }
})

test('what differs in more than its values is not patched', () => {
  const { table } = largeTable(3)
  const family = table.snapshot()
  const options = { created: false }
  render([family], 'text', options)
  const others: Partial<Family>[] = [
    { name: 'other' },
    { type: 'unknown' },
    { help: 'Other.' },
    { labels: { bytes: Buffer.from('c="1"c="2"c="3"'), ends: Uint32Array.of(5, 10, 15) } },
  ]
  for (const change of others) {
    const other = { ...family, ...change, values: Float64Array.of(1, 2, 3) }
    assert.deepEqual(render([other], 'text', options), render([fresh(other)], 'text', options))
  }
})

test('two snapshots rendered in turns, slice by slice, do not mix', async () => {
  const { table, setAll } = largeTable(20_000)
  const options = { created: false }
  render([table.snapshot()], 'text', options)
  const snapshots = [1, 2, 3].map((n) => {
    setAll((row) => row * n, 3)
    return [table.snapshot()]
  })
  const rendered = await Promise.all(
    snapshots.map((families) => createExposition(families, options).bytes('text')),
  )
  rendered.forEach((bytes, i) => {
    assert.deepEqual(bytes, render(snapshots[i]!.map(fresh), 'text', options))
  })
})

test('renderings of new and old snapshots do not mix, whichever takes its next step', () => {
  const options = { created: false }
  const formats = ['text', 'openmetrics', 'protobuf'] as const
  const turns = fc.array(
    fc.oneof(
      fc.record({ scale: fc.constantFrom(1, 7, 1000, 0.1), every: fc.constantFrom(1, 3, 5000) }),
      fc.record({ old: fc.nat(2), format: fc.constantFrom(...formats) }),
      fc.record({ running: fc.nat(5), steps: fc.integer({ min: 1, max: 6 }) }),
    ),
    { minLength: 10, maxLength: 40 },
  )
  fc.assert(
    fc.property(turns, (turns) => {
      const { table, setAll } = largeTable(10_000)
      const snapshots = [[table.snapshot()]]
      const running: { steps: Steps<Uint8Array>; families: Family[]; format: AnyFormat }[] = []
      const done: { bytes: Uint8Array; families: Family[]; format: AnyFormat }[] = []
      const go = (at: number, steps: number) => {
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
          const steps =
            format === 'protobuf'
              ? protobufSteps(families, {})
              : textSteps(families, format, options)
          running.push({ steps, families, format })
        } else if (running.length > 0) go(turn.running % running.length, turn.steps)
      }
      while (running.length > 0) go(0, Infinity)
      for (const { bytes, families, format } of done) {
        assert.equal(Buffer.compare(bytes, exposed(families.map(fresh), format, options)), 0)
      }
    }),
    { numRuns: 25 },
  )
})

test('a format that nobody asks for any more is rendered as ever when somebody does', () => {
  const { table } = largeTable(3)
  const options = { created: false }
  for (const n of Array(50).keys()) {
    table.set(1, 0, n)
    const formats: Format[] = n % 14 === 0 ? ['openmetrics', 'text'] : ['text']
    for (const format of formats) {
      const families = [table.snapshot()]
      assert.deepEqual(
        render(families, format, options),
        render(families.map(fresh), format, options),
      )
    }
  }
})

test('work in slices lets others have their turn', async () => {
  let now = 0
  const seen: string[] = []
  function* work() {
    for (let i = 0; i < 4; i++) {
      seen.push(`step ${i}`)
      now += 4
      yield
    }
    return 'done'
  }
  setImmediate(() => seen.push('other'))
  const result = inSlices(work(), () => now)
  assert.equal(await result, 'done')
  // The first slice is at once; two steps of 4 ms are enough for one.
  assert.deepEqual(seen, ['step 0', 'step 1', 'other', 'step 2', 'step 3'])
})
