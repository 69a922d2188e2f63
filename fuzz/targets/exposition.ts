import { type Family, type MetricType, countValuesPerRow } from '../../src/metrics/family.js'
import { escapeLabelValue } from '../../src/metrics/labels.js'
import { compareNames } from '../../src/exposition/metric-names.js'
import { formatBound } from '../../src/exposition/number.js'
import { createTable } from '../../src/metrics/table.js'
import { choicesOf, type Choices } from '../choices.js'
import { must, type Target } from '../target.js'
import { checkExposition } from './check-exposition.js'

const TYPES: readonly MetricType[] = ['counter', 'gauge', 'histogram', 'summary', 'info', 'unknown']
const NAMES = ['a', 'a_total', 'b_seconds', 'a_bucket', 'a_count', 'b', 'constructor', '__proto__', 'a_created', 'toString', ':', '_', 'a_info', 'b_sum'] // prettier-ignore
const LABELS = [
  'host',
  '__proto__',
  'constructor',
  'le',
  'quantile',
  'a',
  'b',
  '_',
  'hasOwnProperty',
]
const VALUES = [0, -0, 1, 2, 3, 0.1, 1e21, 1e-7, NaN, Infinity, -Infinity, 5e-324, 2 ** 53 + 2, 2 ** 31, 1700000000.123, -1] // prettier-ignore
const HISTOGRAM_BOUNDS = [
  [Infinity],
  [0.1, 1, Infinity],
  [-1, 0, Infinity],
  [1e-5, 1e6, Infinity],
  [1],
]
const QUANTILES = [[], [0.5], [0, 0.5, 1], [0.99, 2]]

/** The values that each sample can have, by its name and labels. */
type Expected = Map<string, number[]>

/** Renders families with hostile names, labels and values. Parsers must read each sample with its original value. */
export const exposition: Target = {
  name: 'exposition',
  weight: 8,
  seeds: [
    Buffer.from(Array.from({ length: 200 }, (_, i) => (i * 37) % 251)),
    Buffer.from(Array.from({ length: 300 }, (_, i) => (i * i) % 256)),
    ...TYPES.map((_, i) =>
      Buffer.from([1, i, 0, 0, 0, 0, 2, 1, 0, 3, 0x61, 0x22, 0x0a, 2, 0, 1, 1]),
    ),
  ],
  words: ['\\', '"', '\n', '\r', '{', '}', ',', '=', '# EOF', 'é', '😀', '\u2028', '\uFEFF'],
  async run(input) {
    const choices = choicesOf(input)
    const expected: Expected = new Map()
    const families = Array.from({ length: choices.below(5) }, () => makeFamily(choices, expected))
    const read = await checkExposition(families)
    for (const { samples } of [...read.text, ...read.openmetrics]) {
      for (const { name, labels, value } of samples) {
        // The exporter renders only one of several families with the same name. So each of their values is allowed.
        const may = expected.get(keyOf(name, labels)) ?? []
        must(
          may.some((one) => Object.is(one, value)),
          `no table has this sample: ${name} ${value}`,
        )
      }
    }
    const gauges = (of: readonly { name: string; type: string }[]) =>
      of.filter(({ type }) => type === 'gauge').map(({ name }) => name)
    must(
      gauges(read.text).join() === gauges(read.protobuf).join(),
      'protobuf must have the same gauges as text',
    )
    compareProtobuf(read)
  },
}

function keyOf(name: string, labels: ReadonlyMap<string, string>): string {
  return JSON.stringify([name, [...labels].sort(([a], [b]) => compareNames(a, b))])
}

type Sample = readonly [name: string, labels: readonly (readonly [string, string])[], value: number]

/** Returns the samples that a parser must find for one row of a table, without using the code of the exporter. */
function samplesOf(
  name: string,
  type: MetricType,
  bounds: readonly number[],
  values: readonly number[],
  created: number,
): Sample[] {
  const time: Sample = [`${name}_created`, [], created]
  if (type === 'gauge' || type === 'unknown') return [[name, [], values[0]!]]
  if (type === 'info') return [[`${name}_info`, [], values[0]!]]
  if (type === 'counter') return [[`${name}_total`, [], values[0]!], time]
  const [main, label] = type === 'histogram' ? [`${name}_bucket`, 'le'] : [name, 'quantile']
  return [
    ...bounds.map((bound, i): Sample => [main, [[label, formatBound(bound)]], values[i]!]),
    [`${name}_sum`, [], values[bounds.length]!],
    [`${name}_count`, [], values[bounds.length + 1]!],
    time,
  ]
}

function compareProtobuf({ text, protobuf }: Awaited<ReturnType<typeof checkExposition>>): void {
  for (const family of protobuf) {
    if (family.type !== 'gauge' && family.type !== 'counter') continue
    const { samples = [] } = text.find(({ name }) => name === family.name) ?? {}
    must(
      samples.length === family.metrics.length,
      `protobuf must have as many series as text: ${family.name}`,
    )
    for (const [i, { value, labels }] of family.metrics.entries()) {
      must(
        Object.is(samples[i]!.value, value),
        `protobuf must have the same value as text: ${family.name}`,
      )
      must(
        JSON.stringify([...samples[i]!.labels]) === JSON.stringify(labels),
        `protobuf must have the same labels as text: ${family.name}`,
      )
    }
  }
}

function makeFamily(choices: Choices, expected: Expected): Family {
  const type = choices.pick(TYPES)
  const bounds =
    type === 'histogram'
      ? choices.pick(HISTOGRAM_BOUNDS)
      : type === 'summary'
        ? choices.pick(QUANTILES)
        : []
  const name = choices.pick(NAMES)
  const unit = choices.pick(['', 'seconds', 'bytes', 'total'])
  const help = choices.text(20)
  const table = createTable({ name, type, bounds, unit, help })
  for (let rows = choices.below(5); rows > 0; rows--) {
    // The exporter's decoder returns each label name once, in a fixed order. So the test does the same.
    const labels = new Map<string, string>()
    for (let count = choices.below(4); count > 0; count--) {
      labels.set(choices.pick(LABELS), choices.text(12))
    }
    const text = [...labels]
      .sort(([a], [b]) => compareNames(a, b))
      .map(([name, value]) => `${name}="${escapeLabelValue(value)}"`)
      .join(',')
    const row = table.append(text)
    const values: number[] = []
    for (let column = 0; column < countValuesPerRow({ type, bounds }); column++) {
      const value = choices.below(4) === 0 ? choices.double() : choices.pick(VALUES)
      table.set(row, column, value)
      values.push(value)
    }
    const created = choices.below(3) === 0 ? choices.pick(VALUES) : NaN
    table.setCreated(row, created)
    for (const [sample, extra, value] of samplesOf(name, type, bounds, values, created)) {
      const key = keyOf(sample, new Map([...labels, ...extra]))
      expected.set(key, [...(expected.get(key) ?? []), value])
    }
    if (choices.below(8) === 7) table.setMissing(row, true)
  }
  const snapshot = table.snapshot()
  return choices.below(4) === 3 ? { ...snapshot, timestampMs: 1_700_000_000_123 } : snapshot
}
