import type { Family, MetricType } from '../../src/metrics/family.js'
import { escapeLabelValue, width } from '../../src/metrics/family.js'
import { createTable } from '../../src/metrics/store.js'
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

type Expected = { readonly type: MetricType; readonly labels: string; readonly value: number }

/** Families of hostile names, labels and values: each sample that a format shows reads back the same. */
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
    const expected = new Map<string, Expected>()
    const families = Array.from({ length: choices.below(5) }, () => makeFamily(choices, expected))
    const read = await checkExposition(families)
    for (const { samples } of [...read.text, ...read.openmetrics]) {
      for (const { name, labels, value } of samples) {
        // Those with suffixes are read back by two readers; the plain ones are known here.
        const known = expected.get(JSON.stringify([name, [...labels].sort()]))
        if (known && known.type === 'gauge') {
          must(Object.is(known.value, value), `${name} reads back as ${known.value}, not ${value}`)
        }
      }
    }
    const gauges = (of: readonly { name: string; type: string }[]) =>
      of.filter(({ type }) => type === 'gauge').map(({ name }) => name)
    must(
      gauges(read.text).join() === gauges(read.protobuf).join(),
      'protobuf has the families of text',
    )
    compareProtobuf(read)
  },
}

function compareProtobuf({ text, protobuf }: Awaited<ReturnType<typeof checkExposition>>): void {
  for (const family of protobuf) {
    if (family.type !== 'gauge' && family.type !== 'counter') continue
    const { samples = [] } = text.find(({ name }) => name === family.name) ?? {}
    must(samples.length === family.metrics.length, `${family.name} has as many series in protobuf`)
    for (const [i, { value, labels }] of family.metrics.entries()) {
      must(Object.is(samples[i]!.value, value), `${family.name} has the same value in protobuf`)
      must(
        JSON.stringify([...samples[i]!.labels]) === JSON.stringify(labels),
        `${family.name} has the same labels in protobuf`,
      )
    }
  }
}

export function makeFamily(choices: Choices, expected: Map<string, Expected>): Family {
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
    // As a decoder does: each name once.
    const labels = new Map<string, string>()
    for (let count = choices.below(4); count > 0; count--) {
      labels.set(choices.pick(LABELS), choices.text(12))
    }
    const text = [...labels]
      .map(([name, value]) => `${name}="${escapeLabelValue(value)}"`)
      .join(',')
    const row = table.append(text)
    for (let column = 0; column < width({ type, bounds }); column++) {
      const value = choices.below(4) === 0 ? choices.double() : choices.pick(VALUES)
      table.set(row, column, value)
      const key = JSON.stringify([name, [...labels].sort()])
      const isFirst = column === 0 && !expected.has(key)
      if (isFirst) expected.set(key, { type, labels: text, value })
      else if (column === 0) expected.set(key, { type: 'unknown', labels: text, value })
    }
    if (choices.below(3) === 0) table.setCreated(row, choices.pick(VALUES))
    if (choices.below(8) === 7) table.setMissing(row, true)
  }
  const snapshot = table.snapshot()
  return choices.below(4) === 3 ? { ...snapshot, timestampMs: 1_700_000_000_123 } : snapshot
}
