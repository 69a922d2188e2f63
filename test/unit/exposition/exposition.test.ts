import assert from 'node:assert/strict'
import { test } from 'node:test'
import { gunzipSync } from 'node:zlib'
import fc from 'fast-check'
import {
  createExposition,
  render,
  type ExpositionOptions,
} from '../../../src/exposition/exposition.js'
import { family, type Family } from '../../../src/metrics/family.js'
import type { TextFormat } from '../../../src/exposition/metric-names.js'
import { formatBound, formatValue } from '../../../src/exposition/number.js'
import { createTable } from '../../../src/metrics/table.js'
import { countInvalidRows } from '../../../src/exposition/validity.js'
import {
  EVERY_TYPE,
  hostileFamily,
  readNumber,
  readSamples,
  type HostileRow,
  type Sample,
} from '../../support/expositions.js'
import { makeFamily } from '../../support/families.js'

const PLAIN = { created: false }
const CREATED = { created: true }

function show(families: readonly Family[], format: TextFormat, options: ExpositionOptions = PLAIN) {
  return Buffer.from(render(families, format, options)).toString()
}

test('the Prometheus text format supports every metric type', () => {
  assert.equal(
    show(EVERY_TYPE, 'text', CREATED),
    `# HELP build_info Build.
# TYPE build_info gauge
build_info{version="1"} 1
# TYPE delay_seconds histogram
delay_seconds_bucket{le="0.005"} 1
delay_seconds_bucket{le="1.0"} 2
delay_seconds_bucket{le="1e+06"} 2
delay_seconds_bucket{le="+Inf"} 3
delay_seconds_count 3
delay_seconds_sum 4.25
delay_seconds_bucket{host="a",le="0.005"} 0
delay_seconds_bucket{host="a",le="1.0"} 0
delay_seconds_bucket{host="a",le="1e+06"} 0
delay_seconds_bucket{host="a",le="+Inf"} 0
delay_seconds_count{host="a"} 0
delay_seconds_sum{host="a"} 0
# HELP memory_bytes C:\\\\ and\\nLF.
# TYPE memory_bytes gauge
memory_bytes -1.5
# HELP requests_total Requests "so far".
# TYPE requests_total counter
requests_total{host="a"} 1027
requests_total{host="b"} 0.1
# HELP size Size.
# TYPE size summary
size{host="a",quantile="0.0"} NaN
size{host="a",quantile="0.5"} 2
size{host="a",quantile="1.0"} 1e+21
size_count{host="a"} 2
size_sum{host="a"} 3.5
# TYPE thing untyped
thing +Inf
`,
  )
})

const OPENMETRICS = `# TYPE build info
# HELP build Build.
build_info{version="1"} 1
# TYPE delay_seconds histogram
# UNIT delay_seconds seconds
delay_seconds_bucket{le="0.005"} 1
delay_seconds_bucket{le="1.0"} 2
delay_seconds_bucket{le="1e+06"} 2
delay_seconds_bucket{le="+Inf"} 3
delay_seconds_count 3
delay_seconds_sum 4.25
delay_seconds_created 1700000000
delay_seconds_bucket{host="a",le="0.005"} 0
delay_seconds_bucket{host="a",le="1.0"} 0
delay_seconds_bucket{host="a",le="1e+06"} 0
delay_seconds_bucket{host="a",le="+Inf"} 0
delay_seconds_count{host="a"} 0
delay_seconds_sum{host="a"} 0
delay_seconds_created{host="a"} 1500000000
# TYPE memory_bytes gauge
# UNIT memory_bytes bytes
# HELP memory_bytes C:\\\\ and\\nLF.
memory_bytes -1.5
# TYPE requests counter
# HELP requests Requests \\"so far\\".
requests_total{host="a"} 1027
requests_created{host="a"} 1700000000.123
requests_total{host="b"} 0.1
# TYPE size summary
# HELP size Size.
size{host="a",quantile="0.0"} NaN
size{host="a",quantile="0.5"} 2
size{host="a",quantile="1.0"} 1e+21
size_count{host="a"} 2
size_sum{host="a"} 3.5
size_created{host="a"} 1.25
# TYPE thing unknown
thing +Inf
# EOF
`

test('OpenMetrics supports every metric type, and has a _created sample for each known creation time', () => {
  assert.equal(show(EVERY_TYPE, 'openmetrics', CREATED), OPENMETRICS)
})

test('the timestamp of a family is on each of its samples, in the unit of the text format', () => {
  const families = EVERY_TYPE.map((each) => ({ ...each, timestampMs: 1700000000123 }))
  const addTimestamp = (text: string, stamp: string) =>
    text.replaceAll(/^[^#\n].*$/gm, (line) => `${line} ${stamp}`)
  assert.equal(show(families, 'text'), addTimestamp(show(EVERY_TYPE, 'text'), '1700000000123'))
  assert.equal(show(families, 'openmetrics', CREATED), addTimestamp(OPENMETRICS, '1700000000.123'))
  const [first, ...others] = EVERY_TYPE
  const mixed = show([{ ...first!, timestampMs: 1700000001000 }, ...others], 'openmetrics')
  assert.equal(
    mixed.split(' 1700000001\n').length,
    3,
    'a timestamp on other samples than the two of the first family',
  )
})

test('the initial buffer is large enough for rows with the longest values, timestamps and creation times', () => {
  const value = -1.2345678901234567e-308
  const [seconds, ms] = [1.2345678901234567e-308, 8_640_000_000_000_001]
  assert.equal(formatValue(value).length, 24)
  const labels = (row: number) => `host="${'é'.repeat(row % 7)}${row}"`
  const rows = Array.from({ length: 500 }, (_, row) => row)
  const timestamps = { text: ` ${ms}`, openmetrics: ` ${ms / 1000}` }
  for (const created of [true, false]) {
    for (const timestampMs of [undefined, ms]) {
      const [counter, gauge, summary] = (['counter', 'gauge', 'summary'] as const).map((type) => ({
        ...makeFamily(
          { name: type, type, bounds: type === 'summary' ? [0.123456] : [] },
          rows.map((row) => ({
            labels: labels(row),
            values:
              type === 'gauge' ? [value] : type === 'counter' ? [-value] : [-value, -value, 1e15],
            ...(created && { created: seconds }),
          })),
        ),
        ...(timestampMs !== undefined && { timestampMs }),
      }))
      for (const format of ['text', 'openmetrics'] as const) {
        const end = `${timestampMs === undefined ? '' : timestamps[format]}\n`
        const createdLine = (name: string, row: number) =>
          created && format === 'openmetrics'
            ? `${name}_created{${labels(row)}} ${seconds}${end}`
            : ''
        const counterName = format === 'text' ? 'counter_total' : 'counter'
        const expected = [
          `# TYPE ${counterName} counter\n`,
          ...rows.map(
            (row) => `counter_total{${labels(row)}} ${-value}${end}${createdLine('counter', row)}`,
          ),
          '# TYPE gauge gauge\n',
          ...rows.map((row) => `gauge{${labels(row)}} ${value}${end}`),
          '# TYPE summary summary\n',
          ...rows.map(
            (row) =>
              `summary{${labels(row)},quantile="0.123456"} ${-value}${end}` +
              `summary_count{${labels(row)}} 1000000000000000${end}` +
              `summary_sum{${labels(row)}} ${-value}${end}${createdLine('summary', row)}`,
          ),
          format === 'text' ? '' : '# EOF\n',
        ].join('')
        const families = [counter!, gauge!, summary!]
        assert.equal(show(families, format, { created }), expected)
      }
    }
  }
})

test('a carriage return in a label value does not end the line of the sample', () => {
  const x = family('gauge', 'x', '', [{ labels: { n: '\r# \r' }, value: 1 }])
  assert.equal(show([{ ...x, timestampMs: 1 }], 'text'), '# TYPE x gauge\nx{n="\r# \r"} 1 1\n')
})

test('_created samples are exposed only if the option created is set', () => {
  const without = OPENMETRICS.replaceAll(/^.*_created.*\n/gm, '')
  assert.equal(show(EVERY_TYPE, 'openmetrics'), without)
  assert.equal(
    show(EVERY_TYPE, 'openmetrics', CREATED),
    OPENMETRICS,
    'an earlier rendering changed the result',
  )
})

test('an exposition without families is empty, except for the end marker of OpenMetrics', () => {
  assert.equal(show([], 'text'), '')
  assert.equal(show([], 'openmetrics'), '# EOF\n')
})

test('a family without rows has no lines in an exposition', () => {
  const empty = makeFamily({ name: 'x', type: 'gauge', help: 'Nothing.' }, [])
  assert.equal(show([empty], 'text'), '')
  assert.equal(show([empty], 'openmetrics'), '# EOF\n')
})

test('rows are exposed in the order of the family', () => {
  const rows = [1, 2, 3].map((n) => ({ labels: `n="${n}"`, values: [n] }))
  const shuffled = {
    ...makeFamily({ name: 'x', type: 'gauge' }, rows),
    order: Uint32Array.of(2, 0),
  }
  assert.equal(show([shuffled], 'text'), '# TYPE x gauge\nx{n="3"} 3\nx{n="1"} 1\n')
})

test('an exposition has the families sorted by their exposed name, and the input array does not change', () => {
  const families = [
    family('gauge', 'a_b', '', [{ value: 1 }]),
    family('counter', 'a', '', [{ value: 2 }]),
  ]
  assert.equal(
    show(families, 'text'),
    '# TYPE a_b gauge\na_b 1\n# TYPE a_total counter\na_total 2\n',
  )
  assert.equal(
    show(families, 'openmetrics'),
    '# TYPE a counter\na_total 2\n# TYPE a_b gauge\na_b 1\n# EOF\n',
  )
  assert.equal(families[0]!.name, 'a_b')
})

test('OpenMetrics omits the unit of a family whose name does not end with it, or whose type forbids units', () => {
  const units = [
    makeFamily({ name: 'a_seconds', type: 'counter', unit: 'seconds' }, [{ values: [1] }]),
    makeFamily({ name: 'b_seconds', type: 'gauge', unit: 'bytes' }, [{ values: [1] }]),
    makeFamily({ name: 'bytes', type: 'gauge', unit: 'bytes' }, [{ values: [1] }]),
    makeFamily({ name: 'c_seconds', type: 'info', unit: 'seconds' }, [{ values: [1] }]),
    makeFamily({ name: 'd_', type: 'gauge', unit: '' }, [{ values: [1] }]),
  ]
  const lines = show(units, 'openmetrics').split('\n')
  assert.deepEqual(
    lines.filter((line) => line.startsWith('# UNIT')),
    ['# UNIT a_seconds seconds'],
  )
  assert.ok(!show(units, 'text').includes('UNIT'))
})

test('a row that OpenMetrics forbids is excluded from OpenMetrics only', () => {
  const counter = makeFamily({ name: 'x', type: 'counter' }, [
    { labels: 'n="1"', values: [NaN] },
    { labels: 'n="2"', values: [2] },
  ])
  assert.equal(
    show([counter], 'text'),
    '# TYPE x_total counter\nx_total{n="1"} NaN\nx_total{n="2"} 2\n',
  )
  assert.equal(show([counter], 'openmetrics'), '# TYPE x counter\nx_total{n="2"} 2\n# EOF\n')
})

test('only counters, histograms and summaries have _created samples', () => {
  for (const type of ['gauge', 'info', 'unknown'] as const) {
    const row = { values: [1], created: 7 }
    assert.ok(!show([makeFamily({ name: 'x', type }, [row])], 'openmetrics', CREATED).includes('7'))
  }
})

test('a histogram of negative numbers has no sum and no count in OpenMetrics', () => {
  const histogram = makeFamily({ name: 'x', type: 'histogram', bounds: [-1, Infinity] }, [
    { values: [1, 2, -3.5, 2], created: 7 },
  ])
  const buckets = '# TYPE x histogram\nx_bucket{le="-1.0"} 1\nx_bucket{le="+Inf"} 2\n'
  assert.equal(show([histogram], 'text'), `${buckets}x_count 2\nx_sum -3.5\n`)
  assert.equal(show([histogram], 'openmetrics', CREATED), `${buckets}x_created 7\n# EOF\n`)
})

test('of two families with colliding names, one is excluded from each format in which they collide', () => {
  const families = [
    family('gauge', 'x_total', '', [{ value: 1 }]),
    family('gauge', 'x', '', [{ value: 2 }]),
    family('counter', 'x', '', [{ value: 3 }]),
  ]
  assert.equal(show(families, 'text'), '# TYPE x gauge\nx 2\n# TYPE x_total counter\nx_total 3\n')
  assert.equal(show(families, 'openmetrics'), '# TYPE x counter\nx_total 3\n# EOF\n')
})

test('a counter whose name in Prosody ends with _total is exposed with a second _total', () => {
  const counter = family('counter', 'x_total', '', [{ value: 1 }])
  assert.equal(show([counter], 'text'), '# TYPE x_total_total counter\nx_total_total 1\n')
})

test('sample values have the shortest form that a parser reads as the same number, and integers have no decimal point', () => {
  const expected: [number, string][] = [
    [0, '0'], [-0, '-0'], [1, '1'], [10, '10'], [-7, '-7'], [2147483647, '2147483647'],
    [2147483648, '2147483648'], [9007199254740993, '9007199254740992'], [1e21, '1e+21'],
    [100000, '100000'], [1e6, '1000000'], [0.1, '0.1'], [1e-7, '1e-7'], [5e-324, '5e-324'],
    [1.7976931348623157e308, '1.7976931348623157e+308'], [NaN, 'NaN'], [Infinity, '+Inf'],
    [-Infinity, '-Inf'],
  ] // prettier-ignore
  for (const [value, text] of expected) {
    assert.equal(formatValue(value), text)
    assert.equal(
      show([family('gauge', 'x', '', [{ value }])], 'text'),
      `# TYPE x gauge\nx ${text}\n`,
    )
  }
})

test('values of the labels le and quantile are formatted as in Go', () => {
  const expected: [number, string][] = [
    [0, '0.0'], [-0, '0.0'], [1, '1.0'], [10, '10.0'], [-1, '-1.0'], [0.5, '0.5'], [0.001, '0.001'],
    [0.0001, '0.0001'], [0.00001, '1e-05'], [1e-7, '1e-07'], [1e-10, '1e-10'], [100000, '100000.0'],
    [123456.789, '123456.789'], [999999, '999999.0'], [1e6, '1e+06'], [1234567, '1.234567e+06'],
    [-2.5e6, '-2.5e+06'], [1e21, '1e+21'], [1e100, '1e+100'], [5e-324, '5e-324'],
    [Infinity, '+Inf'], [-Infinity, '-Inf'], [NaN, 'NaN'],
  ] // prettier-ignore
  for (const [bound, text] of expected) assert.equal(formatBound(bound), text)
})

test('a parser reads every formatted number as the same number', () => {
  fc.assert(
    fc.property(fc.double(), (number) => {
      const text = formatValue(number)
      assert.ok(Object.is(readNumber(text), number), text)
      const bound = formatBound(number)
      assert.equal(readNumber(bound), number + 0, '-0 reads back as 0, because no bound is -0')
      assert.match(bound, /[.e]|NaN|Inf/)
    }),
  )
})

test('later changes of a table do not change the exposition of its snapshot', async () => {
  const table = createTable({ name: 'x', type: 'gauge', help: '', unit: '', bounds: [] })
  table.append('n="1"')
  const exposition = createExposition([table.snapshot()], PLAIN)
  table.set(0, 0, 5)
  table.append('n="2"')
  table.sortNewRows()
  assert.equal(
    Buffer.from(await exposition.bytes('text')).toString(),
    '# TYPE x gauge\nx{n="1"} 0\n',
  )
})

test('an exposition renders and compresses each format once, and the compressed bytes have the same content', async () => {
  const exposition = createExposition(EVERY_TYPE, CREATED)
  for (const format of ['text', 'openmetrics'] as const) {
    const bytes = await exposition.bytes(format)
    assert.equal(await exposition.bytes(format), bytes)
    const [first, second] = await Promise.all([exposition.gzip(format), exposition.gzip(format)])
    assert.equal(first, second)
    assert.equal(await exposition.gzip(format), first)
    assert.deepEqual(gunzipSync(first), Buffer.from(bytes))
  }
  assert.equal(Buffer.from(await exposition.bytes('openmetrics')).toString(), OPENMETRICS)
})

test('the option names selects a family by its name in either text format, not by the name of a sample', () => {
  const selected = (...names: string[]) =>
    Array.from(
      show(EVERY_TYPE, 'openmetrics', { ...PLAIN, names: new Set(names) }).matchAll(
        /# TYPE (\w+)/g,
      ),
      ([, name]) => name,
    )
  assert.deepEqual(selected('requests_total', 'build_info'), ['build', 'requests'])
  assert.deepEqual(selected('requests', 'build'), ['build', 'requests'])
  assert.deepEqual(selected('delay_seconds'), ['delay_seconds'])
  assert.deepEqual(selected('delay_seconds_bucket', 'memory', ''), [])
  assert.equal(selected().length, EVERY_TYPE.length)
})

/** Computes the samples that a parser must find in an exposition, without using the encoder. */
function expectedSamples({ name, type, bounds }: Family, row: HostileRow): Sample[] {
  const { labels, values } = row
  const label = type === 'histogram' ? 'le' : 'quantile'
  const suffix = { counter: '_total', info: '_info', histogram: '_bucket' } as const
  const main = name + (type in suffix ? suffix[type as keyof typeof suffix] : '')
  if (type !== 'histogram' && type !== 'summary') return [{ name: main, labels, value: values[0]! }]
  return [
    ...bounds.map((bound, i) => ({
      name: main,
      labels: { ...labels, [label]: formatBound(bound) },
      value: values[i]!,
    })),
    { name: `${name}_count`, labels, value: values[bounds.length + 1]! },
    { name: `${name}_sum`, labels, value: values[bounds.length]! },
  ]
}

/** Replaces lone surrogates in label values by U+FFFD, as Buffer does when it encodes UTF-8. */
function wellFormed(samples: Sample[]): Sample[] {
  return samples.map((sample) => ({
    ...sample,
    labels: Object.fromEntries(
      Object.entries(sample.labels).map(([name, value]) => [name, Buffer.from(value).toString()]),
    ),
  }))
}

test('a parser of the Prometheus text format finds all samples, with any labels, values and help texts', () => {
  fc.assert(
    fc.property(hostileFamily, ({ family, rows }) => {
      const expected = rows.flatMap((row) => expectedSamples(family, row))
      assert.deepEqual(readSamples(show([family], 'text')), wellFormed(expected))
    }),
  )
})

test('a parser of OpenMetrics finds all samples, except those of rows that OpenMetrics forbids', () => {
  fc.assert(
    fc.property(hostileFamily, ({ family, rows }) => {
      const validRows = rows.filter(
        (_, row) => countInvalidRows({ ...family, order: Uint32Array.of(row) }) === 0,
      )
      const hasSum = family.type !== 'histogram' || !family.bounds.some((bound) => bound < 0)
      const expected = validRows.flatMap((row) => [
        ...expectedSamples(family, row).filter(({ name }) => hasSum || name.endsWith('_bucket')),
        ...(row.created === undefined || ['gauge', 'info', 'unknown'].includes(family.type)
          ? []
          : [{ name: `${family.name}_created`, labels: row.labels, value: row.created }]),
      ])
      const text = show([family], 'openmetrics', CREATED)
      assert.match(text, /(?:^|\n)# EOF\n$/)
      assert.deepEqual(readSamples(text), wellFormed(expected))
    }),
  )
})
