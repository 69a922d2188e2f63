/**
 * Metric families for tests of rendering, with ordinary names and values and with hostile ones; and a reader of the
 * text formats.
 */

import assert from 'node:assert/strict'
import fc from 'fast-check'
import { countValuesPerRow, type Family, type MetricType } from '../../src/metrics/family.js'
import { formatLabels } from '../../src/metrics/labels.js'
import { makeFamily } from './families.js'

/** A list of metric families with each metric type. */
export const EVERY_TYPE: readonly Family[] = [
  makeFamily({ name: 'requests', type: 'counter', help: 'Requests "so far".' }, [
    { labels: 'host="a"', values: [1027], created: 1700000000.123 },
    { labels: 'host="b"', values: [0.1] },
  ]),
  makeFamily({ name: 'memory_bytes', type: 'gauge', help: 'C:\\ and\nLF.', unit: 'bytes' }, [
    { values: [-1.5] },
  ]),
  makeFamily(
    {
      name: 'delay_seconds',
      type: 'histogram',
      unit: 'seconds',
      bounds: [0.005, 1, 1e6, Infinity],
    },
    [
      { values: [1, 2, 2, 3, 4.25, 3], created: 1700000000 },
      { labels: 'host="a"', values: [0, 0, 0, 0, 0, 0], created: 1.5e9 },
    ],
  ),
  makeFamily({ name: 'size', type: 'summary', help: 'Size.', bounds: [0, 0.5, 1] }, [
    { labels: 'host="a"', values: [NaN, 2, 1e21, 3.5, 2], created: 1.25 },
  ]),
  makeFamily({ name: 'build', type: 'info', help: 'Build.', unit: 'ld' }, [
    { labels: 'version="1"', values: [1] },
  ]),
  makeFamily({ name: 'thing', type: 'unknown' }, [{ values: [Infinity] }]),
]

// The reader in this file shares no code with the exporter's encoder. This regular expression matches a line with a
// sample.
const SAMPLE = /^([a-zA-Z_:][\w:]*)(?:\{((?:[a-zA-Z_]\w*="(?:[^"\\\n]|\\[\\"n])*",?)*)\})? (\S+)$/
const LABEL = /([a-zA-Z_]\w*)="((?:[^"\\]|\\.)*)"/g

export type Sample = { name: string; labels: Record<string, string>; value: number }

/** Parses the value of a sample in the text format or in OpenMetrics. */
export function readNumber(text: string): number {
  if (text === '+Inf') return Infinity
  return text === '-Inf' ? -Infinity : Number(text)
}

/** Reads the samples of an exposition in the text format or in OpenMetrics, in the order of their lines. */
export function readSamples(text: string): Sample[] {
  assert.ok(text === '' || text.endsWith('\n'))
  const lines = text.split('\n').slice(0, -1)
  return lines
    .filter((line) => !line.startsWith('#'))
    .map((line) => {
      const match = SAMPLE.exec(line)
      assert.ok(match && !match[2]?.endsWith(','), `not a sample: ${JSON.stringify(line)}`)
      const labels = Array.from((match[2] ?? '').matchAll(LABEL), ([, name, value]) => [
        name!,
        value!.replace(/\\(.)/g, (_, c: string) => (c === 'n' ? '\n' : c)),
      ])
      const value = readNumber(match[3]!)
      return { name: match[1]!, labels: Object.fromEntries(labels) as Sample['labels'], value }
    })
}

export type HostileRow = {
  labels: Record<string, string>
  values: number[]
  created: number | undefined
}

// Generates arbitrary text. Half of the texts consist of characters that have a meaning in the exposition formats.
const hostileText = fc.oneof(
  fc.string({ unit: 'binary' }),
  fc
    .array(
      fc.constantFrom(
        '\\',
        '"',
        '\n',
        '\r',
        '{',
        '}',
        ',',
        '=',
        ' # ',
        ' ',
        '#',
        'n',
        'le="1"',
        '\u2028',
        '\0',
      ),
    ) // prettier-ignore
    .map((parts) => parts.join('')),
)
const number = fc.oneof(fc.double(), fc.integer({ min: -3, max: 1e6 }), fc.constantFrom(NaN, -0))

/**
 * Generates the values of a row. Most rows of histograms and summaries are valid, because the encoder leaves out
 * invalid ones in OpenMetrics.
 */
function valuesFor(type: MetricType, columns: number): fc.Arbitrary<number[]> {
  if (type === 'info')
    return fc.array(fc.oneof(fc.constant(1), number), { minLength: 1, maxLength: 1 })
  const any = fc.array(number, { minLength: columns, maxLength: columns })
  if (type !== 'histogram' && type !== 'summary') return any
  const valid = fc
    .tuple(
      fc.array(fc.nat(1e6), { minLength: columns - 2, maxLength: columns - 2 }),
      fc.double({ min: 0, noNaN: true }),
    )
    .map(([buckets, sum]) => {
      buckets.sort((a, b) => a - b)
      return [...buckets, sum, buckets.at(-1) ?? 0]
    })
  return fc.oneof({ weight: 4, arbitrary: valid }, { weight: 1, arbitrary: any })
}

const BOUNDS = {
  histogram: fc.constantFrom([0.005, 0.01, 1, 10, Infinity], [-5, 0, 1e6, Infinity], [1, 2]),
  summary: fc.constantFrom([], [0, 0.5, 0.99, 1], [0.5, 2]),
}

/** Generates a metric family with arbitrary names, labels, values and help text. */
export const hostileFamily = fc
  .constantFrom<MetricType>('counter', 'gauge', 'histogram', 'summary', 'info', 'unknown')
  .chain((type) =>
    (type === 'histogram' || type === 'summary' ? BOUNDS[type] : fc.constant([])).chain((bounds) =>
      fc.record({
        meta: fc.record({
          name: fc.constantFrom(
            'x',
            'y_seconds',
            'x_total',
            'x_count',
            'x_created',
            'x_bucket',
            'z',
          ),
          type: fc.constant(type),
          help: hostileText,
          unit: fc.constantFrom('', 'seconds', 'total'),
          bounds: fc.constant(bounds),
        }),
        rows: fc.uniqueArray(
          fc.record({
            labels: fc.dictionary(fc.constantFrom('a', 'b', '_c1'), hostileText),
            values: valuesFor(type, countValuesPerRow({ type, bounds })),
            created: fc.option(fc.double({ min: 0, noNaN: true, noDefaultInfinity: true }), {
              nil: undefined,
            }),
          }),
          // The generator creates no two series with equal labels, even if the labels are in another order.
          { selector: ({ labels }) => JSON.stringify(Object.entries(labels).sort()), maxLength: 5 },
        ),
      }),
    ),
  )
  .map(({ meta, rows }) => ({
    rows: rows,
    family: makeFamily(
      meta,
      rows.map(({ labels, values, created }) => ({
        labels: formatLabels(labels),
        values,
        ...(created === undefined ? {} : { created }),
      })),
    ),
  }))
