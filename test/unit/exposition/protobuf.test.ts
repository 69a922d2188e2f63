import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { countValuesPerRow, type Family, type MetricType } from '../../../src/metrics/family.js'
import { formatLabels } from '../../../src/metrics/labels.js'
import { render } from '../../../src/exposition/exposition.js'
import { estimateProtobufSize } from '../../../src/exposition/protobuf.js'
import { createTable } from '../../../src/metrics/table.js'
import { makeFamily, type Row } from '../../support/families.js'
import { decodeFamilies, type ProtoFamily, type ProtoMetric } from '../../support/protobuf.js'

function renderProtobuf(families: readonly Family[], names?: ReadonlySet<string>) {
  return render(families, 'protobuf', { created: false, ...(names && { names }) })
}

function decode(...families: readonly Family[]): ProtoFamily[] {
  return decodeFamilies(renderProtobuf(families))
}

function onlyMetric(family: Family): ProtoMetric {
  const [decoded, ...rest] = decode(family)
  assert.ok(decoded && rest.length === 0)
  assert.equal(decoded.metrics.length, 1)
  return decoded.metrics[0]!
}

const names = (families: readonly ProtoFamily[]) => families.map(({ name }) => name)

/** Families with their expected bytes, which another program encoded from the protobuf definition. */
const GOLDEN: readonly [family: Family, hex: string][] = [
  [
    makeFamily({ name: 'hits', type: 'counter', help: 'H.' }, [
      { labels: 'host="a"', values: [1.5], created: 1700000000.25 },
    ]),
    `37 0a0a 686974735f746f74616c 1202 482e 1800
      2223 0a09 0a04 686f7374 1201 61
        1a16 09 000000000000f83f 1a0b 08 80e2cfaa06 10 80e59a77`,
  ],
  [
    makeFamily({ name: 'mem_bytes', type: 'gauge', unit: 'bytes' }, [{ values: [-1] }]),
    `21 0a09 6d656d5f6279746573 1801
      220b 1209 09 000000000000f0bf
      2a05 6279746573`,
  ],
  [
    makeFamily({ name: 's', type: 'summary', bounds: [0.5] }, [
      { values: [NaN, 2, 300], created: 1 },
    ]),
    `2d 0a01 73 1802
      2226 2224 08 ac02 11 0000000000000040
        1a12 09 000000000000e03f 11 000000000000f87f
        2202 0801`,
  ],
  [
    makeFamily({ name: 'u', type: 'unknown' }, [{ values: [Infinity] }]),
    '12 0a01 75 1803 220b 2a09 09 000000000000f07f',
  ],
  [
    makeFamily({ name: 'h', type: 'histogram', bounds: [1, Infinity] }, [
      { values: [0, 2, 3, 2], created: 1 },
    ]),
    `32 0a01 68 1804
      222b 3a29 08 02 11 0000000000000840
        1a0b 08 00 11 000000000000f03f
        1a0b 08 02 11 000000000000f07f
        7a02 0801`,
  ],
  [
    makeFamily({ name: 'b', type: 'info' }, [{ labels: 'v=""', values: [1] }]),
    `1e 0a06 625f696e666f 1801
      2212 0a05 0a01 76 1200 1209 09 000000000000f03f`,
  ],
]

for (const [family, hex] of GOLDEN) {
  test(`a small ${family.type} is encoded to the expected protobuf bytes`, () => {
    assert.equal(Buffer.from(renderProtobuf([family])).toString('hex'), hex.replace(/\s/g, ''))
  })
}

test('in protobuf, the timestamp of a family is on each of its metrics', () => {
  const families = GOLDEN.map(([family]) => family)
  const withTimestamps = families.map((family) => ({ ...family, timestampMs: 1700000000123 }))
  const expected = decode(...families).map((family) => ({
    ...family,
    metrics: family.metrics.map((metric) => ({ ...metric, timestampMs: 1700000000123 })),
  }))
  assert.deepEqual(decode(...withTimestamps), expected)
})

test('a protobuf exposition has the families sorted by their exposed name', () => {
  const decoded = decode(...GOLDEN.map(([family]) => family))
  assert.deepEqual(names(decoded), ['b_info', 'h', 'hits_total', 'mem_bytes', 's', 'u'])
})

test('a protobuf exposition without families has no bytes', () => {
  assert.equal(renderProtobuf([]).length, 0)
})

test('a family without rows has no message in a protobuf exposition', () => {
  const empty = makeFamily({ name: 'empty', type: 'gauge', help: 'Nothing.' }, [])
  assert.deepEqual(
    names(decode(empty, makeFamily({ name: 'x', type: 'gauge' }, [{ values: [1] }]))),
    ['x'],
  )
})

const TYPES: readonly [MetricType, shown: string, name: string][] = [
  ['counter', 'counter', 'x_total'],
  ['gauge', 'gauge', 'x'],
  ['histogram', 'histogram', 'x'],
  ['summary', 'summary', 'x'],
  ['info', 'gauge', 'x_info'],
  ['unknown', 'untyped', 'x'],
]

for (const [type, shown, name] of TYPES) {
  test(`a family of type ${type} is a ${shown} named ${name} in protobuf`, () => {
    const bounds = type === 'histogram' ? [Infinity] : []
    const values = Array.from({ length: countValuesPerRow({ type, bounds }) }, () => 1)
    const [decoded] = decode(makeFamily({ name: 'x', type, bounds, help: 'H\n"\\' }, [{ values }]))
    assert.equal(decoded?.type, shown)
    assert.equal(decoded.name, name)
    assert.equal(decoded.help, 'H\n"\\')
  })
}

test('the help text in protobuf is not escaped, and an empty one is omitted', () => {
  const helpOf = (help: string) =>
    decode(makeFamily({ name: 'x', type: 'gauge', help }, [{ values: [1] }]))[0]?.help
  assert.equal(helpOf(''), undefined)
  assert.equal(helpOf('é\n\\ "😀"'), 'é\n\\ "😀"')
  assert.equal(helpOf('\ud800'), '\ufffd')
  assert.equal(helpOf('é'.repeat(20_000)), 'é'.repeat(20_000))
})

test('protobuf has the unit of a family whose name, without _total, ends with it', () => {
  const unitOf = (name: string, unit: string, type: MetricType = 'gauge') =>
    decode(makeFamily({ name, type, unit }, [{ values: [1] }]))[0]?.unit
  assert.equal(unitOf('x_seconds', 'seconds'), 'seconds')
  assert.equal(unitOf('x_seconds', 'seconds', 'counter'), 'seconds')
  assert.equal(unitOf('xseconds', 'seconds'), undefined)
  assert.equal(unitOf('x', 'seconds'), undefined)
  assert.equal(unitOf('x_', ''), undefined)
  assert.equal(unitOf('x_seconds', 'seconds', 'info'), undefined)
})

const LABELS: readonly [text: string, labels: ProtoMetric['labels']][] = [
  ['', []],
  ['a=""', [['a', '']]],
  [
    'a="",b="",c="1"',
    [
      ['a', ''],
      ['b', ''],
      ['c', '1'],
    ],
  ],
  ['a="\\\\"', [['a', '\\']]],
  ['a="\\""', [['a', '"']]],
  ['a="\\n"', [['a', '\n']]],
  ['a="\\\\n"', [['a', '\\n']]],
  [
    'a="\\",b=\\"",c="="',
    [
      ['a', '",b="'],
      ['c', '='],
    ],
  ],
  ['a="😀 é \u0000"', [['a', '😀 é \u0000']]],
  [`a="${'é'.repeat(64)}"`, [['a', 'é'.repeat(64)]]],
  [
    `a="${'x'.repeat(20_000)}",b="1"`,
    [
      ['a', 'x'.repeat(20_000)],
      ['b', '1'],
    ],
  ],
]

for (const [labels, expected] of LABELS) {
  test(`a protobuf decoder reads back the labels {${labels.slice(0, 30)}}`, () => {
    const metric = onlyMetric(makeFamily({ name: 'x', type: 'gauge' }, [{ labels, values: [7] }]))
    assert.deepEqual(metric, { labels: expected, value: 7 })
  })
}

for (const value of [0, -0, NaN, Infinity, -Infinity, 5e-324, 2 ** 53 + 2, 1e308]) {
  test(`a protobuf decoder reads back the value ${Object.is(value, -0) ? '-0' : value}`, () => {
    for (const type of ['counter', 'gauge', 'unknown', 'info'] as const) {
      assert.equal(onlyMetric(makeFamily({ name: 'x', type }, [{ values: [value] }])).value, value)
    }
  })
}

const CREATED: readonly [seconds: number, created: ProtoMetric['created']][] = [
  [1700000000, { seconds: 1700000000n, nanos: 0 }],
  [1700000000.123, { seconds: 1700000000n, nanos: 123_000_000 }],
  [1700000000.999999, { seconds: 1700000000n, nanos: 999_999_000 }],
  [0.9999999, { seconds: 1n, nanos: 0 }],
  [0, { seconds: 0n, nanos: 0 }],
  [253402300799, { seconds: 253402300799n, nanos: 0 }],
  [253402300800, undefined],
  [-1, undefined],
  [NaN, undefined],
  [Infinity, undefined],
]

for (const [seconds, created] of CREATED) {
  test(`the creation time ${seconds} ${created ? 'is exported as a start timestamp' : 'is omitted'}`, () => {
    const rows: Row[] = [{ values: [1, 2, 1], created: seconds }]
    for (const type of ['counter', 'summary', 'histogram'] as const) {
      const bounds = type === 'counter' ? [] : type === 'summary' ? [0.5] : [Infinity]
      const meta = { name: 'x', type, bounds }
      const made = makeFamily(
        meta,
        rows.map((row) => ({ ...row, values: row.values.slice(0, countValuesPerRow(meta)) })),
      )
      assert.deepEqual(onlyMetric(made).created, created)
    }
  })
}

test('a gauge has no start timestamp in protobuf, because the format has no field for it', () => {
  const gauge = makeFamily({ name: 'x', type: 'gauge' }, [{ values: [1], created: 1 }])
  assert.deepEqual(onlyMetric(gauge), { labels: [], value: 1 })
})

test('a protobuf decoder reads back counts of more than 32 bits', () => {
  const count = 2 ** 53 + 2
  const made = makeFamily({ name: 'x', type: 'histogram', bounds: [1, Infinity] }, [
    { values: [2 ** 40 + 1, count, 0.5, count] },
  ])
  assert.deepEqual(onlyMetric(made), {
    labels: [],
    count,
    sum: 0.5,
    steps: [
      [1, 2 ** 40 + 1],
      [Infinity, count],
    ],
  })
})

test('the count of a histogram in protobuf can be a fraction', () => {
  const made = makeFamily({ name: 'x', type: 'histogram', bounds: [1, Infinity] }, [
    { values: [0.5, 1, 3, 1.5] },
  ])
  assert.deepEqual(onlyMetric(made), {
    labels: [],
    count: 1.5,
    sum: 3,
    steps: [
      [1, 0.5],
      [Infinity, 1],
    ],
  })
})

test('protobuf excludes a row whose count is not a valid number, and has the other rows of the family', () => {
  const histogram = makeFamily({ name: 'h', type: 'histogram', bounds: [1, Infinity] }, [
    { labels: 'a="bucket"', values: [NaN, 1, 1, 1] },
    { labels: 'a="count"', values: [1, 1, 1, -1] },
    { labels: 'a="good"', values: [1, 1, NaN, 1] },
  ])
  const summary = makeFamily({ name: 's', type: 'summary' }, [
    { labels: 'a="fraction"', values: [1, 0.5] },
    { labels: 'a="large"', values: [1, 2 ** 64] },
    { labels: 'a="good"', values: [NaN, 0] },
  ])
  const nothing = makeFamily({ name: 'none', type: 'summary' }, [{ values: [1, NaN] }])
  const decoded = decode(histogram, summary, nothing)
  assert.deepEqual(names(decoded), ['h', 's'])
  for (const { metrics } of decoded) {
    assert.deepEqual(
      metrics.map(({ labels }) => labels),
      [[['a', 'good']]],
    )
  }
})

test('protobuf excludes the families and rows that the Prometheus text format excludes', () => {
  const one: readonly Row[] = [{ values: [1] }]
  const colliding = [
    makeFamily({ name: 'x', type: 'counter' }, one),
    makeFamily({ name: 'x_total', type: 'gauge' }, one),
    // The names of these two families collide only in OpenMetrics, so protobuf has both.
    makeFamily({ name: 'y', type: 'counter' }, one),
    makeFamily({ name: 'y', type: 'gauge' }, one),
    makeFamily({ name: 'q', type: 'summary' }, [
      { labels: 'quantile="1"', values: [1, 1] },
      { labels: 'other="1"', values: [1, 1] },
    ]),
  ]
  const decoded = decode(...colliding)
  assert.deepEqual(
    decoded.map(({ name, type, metrics }) => [name, type, metrics.length]),
    [
      ['q', 'summary', 1],
      ['x_total', 'counter', 1],
      ['y', 'gauge', 1],
      ['y_total', 'counter', 1],
    ],
  )
  assert.deepEqual(names(decode(colliding[0]!, colliding[0]!)), ['x_total'])
})

test('a protobuf exposition selects a family by its name in either text format', () => {
  const families = ['a', 'b', 'c'].map((name) =>
    makeFamily({ name, type: 'counter' }, [{ values: [1] }]),
  )
  const selected = (...requested: string[]) =>
    names(decodeFamilies(renderProtobuf(families, new Set(requested))))
  assert.deepEqual(selected('a', 'c_total', 'b_created'), ['a_total', 'c_total'])
  assert.deepEqual(selected(), ['a_total', 'b_total', 'c_total'])
})

test('a protobuf exposition has the rows of a table sorted, with their values at the time of the snapshot', () => {
  const table = createTable({ name: 'x', type: 'counter', help: '', unit: '', bounds: [] })
  const longest = 'host="z",what="' + 'long '.repeat(100) + '"'
  for (const labels of [longest, 'host="b"', 'host="a"']) {
    table.set(table.append(labels), 0, labels.length)
  }
  table.setCreated(1, 5)
  const snapshot = table.snapshot()
  table.append('host="c"')
  table.set(1, 0, 99)
  assert.deepEqual(decode(snapshot)[0]?.metrics, [
    { labels: [['host', 'a']], value: 8 },
    { labels: [['host', 'b']], value: 8, created: { seconds: 5n, nanos: 0 } },
    {
      labels: [
        ['host', 'z'],
        ['what', 'long '.repeat(100)],
      ],
      value: longest.length,
    },
  ])
})

const labelSets = fc.uniqueArray(
  fc.tuple(
    fc.stringMatching(/^[a-z]{1,3}$/).filter((name) => name !== 'le'),
    fc.oneof(
      fc.string({ unit: 'binary', maxLength: 200 }),
      fc.string({ unit: fc.constantFrom('\\', '"', '\n', 'n', '=', ',', '😀') }),
    ),
  ),
  { selector: ([name]) => name, maxLength: 5 },
)
const counts = fc.oneof(
  fc.maxSafeNat().map((count) => count),
  fc.constantFrom(127, 128, 2 ** 32, 2 ** 60),
)

test('a protobuf decoder reads back any labels, values and creation times', () => {
  const row = fc.record({
    labels: labelSets,
    values: fc.array(fc.double(), { minLength: 9, maxLength: 9 }),
    counts: fc.array(counts, { minLength: 9, maxLength: 9 }),
    micros: fc.option(fc.integer({ min: 0, max: 4e15 }), { nil: undefined }),
  })
  const bounds = fc.uniqueArray(fc.double({ min: 0, max: 1, noNaN: true }), { maxLength: 7 })
  const type = fc.constantFrom<MetricType>('counter', 'gauge', 'histogram', 'summary', 'unknown')
  fc.assert(
    fc.property(type, bounds, fc.array(row, { minLength: 1 }), (type, bounds, rows) => {
      const hasSteps = type === 'histogram' || type === 'summary'
      const meta = { name: 'x', type, bounds: hasSteps ? bounds : [] }
      const hasCreated = hasSteps || type === 'counter'
      const steps = (row: (typeof rows)[number]) =>
        (type === 'histogram' ? row.counts : row.values).slice(0, bounds.length)
      const made = makeFamily(
        meta,
        rows.map((row) => ({
          labels: formatLabels(Object.fromEntries(row.labels)),
          values: hasSteps ? [...steps(row), row.values[7]!, row.counts[8]!] : [row.values[0]!],
          ...(row.micros !== undefined && { created: row.micros / 1e6 }),
        })),
      )
      assert.deepEqual(
        decode(made)[0]?.metrics,
        rows.map((row) => ({
          labels: row.labels,
          ...(hasSteps
            ? {
                count: row.counts[8],
                sum: row.values[7],
                steps: bounds.map((bound, i) => [bound, steps(row)[i]]),
              }
            : { value: row.values[0] }),
          ...(hasCreated &&
            row.micros !== undefined && {
              created: {
                seconds: BigInt(Math.floor(row.micros / 1e6)),
                nanos: (row.micros % 1e6) * 1000,
              },
            }),
        })),
      )
    }),
  )
})

for (const [type] of TYPES) {
  test(`the estimated protobuf size of a ${type} is large enough and not much too large`, () => {
    const ROWS = 1000
    const bounds = { histogram: [0.1, 1, 10, Infinity], summary: [0.5, 0.9] }[type as string] ?? []
    const meta = { name: 'prosody_things', type, bounds }
    const columns = countValuesPerRow({ type, bounds })
    const rows = Array.from({ length: ROWS }, (_, i): Row => {
      const values = Array.from({ length: columns }, (_, j) => 1000 * i + j)
      return { labels: `host="${i}.example.com",type="c2s"`, values }
    })
    const withCreated = rows.map((row) => ({ ...row, created: 1_700_000_000.5 }))
    const plain = ['', 'A long text. '.repeat(1000)].flatMap((help) => [
      makeFamily({ ...meta, help }, rows),
      makeFamily({ ...meta, help }, withCreated),
    ])
    const withTimestamps = plain.map((family) => ({ ...family, timestampMs: 1_700_000_000_123 }))
    for (const family of [...plain, ...withTimestamps]) {
      const { length, buffer } = renderProtobuf([family])
      const estimate = estimateProtobufSize(family)
      assert.ok(estimate >= length)
      assert.equal(buffer.byteLength, estimate)
      // In the estimate, each character of the name and help text counts as three bytes of UTF-8.
      assert.ok(estimate < length * 1.6 + family.help.length * 2 + 1000)
    }
  })
}

test('protobuf labels that are larger than the estimated size are encoded completely', () => {
  // The label text `a="",` has five bytes, and its protobuf encoding has seven, so the buffer must grow.
  const text = Array.from({ length: 200 }, () => 'a=""').join(',')
  for (const rows of [1, 2, 50]) {
    const family = makeFamily(
      { name: 'x', type: 'gauge' },
      Array.from({ length: rows }, (_, i) => ({ labels: `${text},row="${i}"`, values: [i] })),
    )
    const { length, buffer } = renderProtobuf([family])
    assert.ok(
      rows < 50 || length > estimateProtobufSize(family),
      'the estimate is large enough, so the test is useless',
    )
    assert.ok(buffer.byteLength < length * 2 + 10_000)
    const [decoded] = decode(family)
    assert.deepEqual(
      decoded?.metrics.map(({ labels, value }) => [
        labels.length,
        labels[7]?.[0],
        labels[200]?.[1],
        value,
      ]),
      Array.from({ length: rows }, (_, i) => [201, 'a', `${i}`, i]),
    )
  }
})

test('a protobuf family is encoded correctly if its length needs more or fewer bytes than estimated', () => {
  // The lengths of these messages are near the largest numbers of one, two and three varint bytes. The
  // estimated sizes are too large or too small.
  for (const help of [
    0, 1, 50, 100, 120, 127, 128, 5000, 16_000, 16_383, 16_384, 700_000, 2_097_152,
  ]) {
    for (const character of ['h', '€']) {
      const text = character.repeat(help)
      const [decoded, next] = decode(
        makeFamily({ name: 'x', type: 'gauge', help: text }, [{ values: [7] }]),
        makeFamily({ name: 'y', type: 'gauge' }, [{ labels: 'a="1"', values: [8] }]),
      )
      assert.equal(decoded?.help ?? '', text)
      assert.deepEqual(decoded?.metrics, [{ labels: [], value: 7 }])
      assert.deepEqual(next?.metrics, [{ labels: [['a', '1']], value: 8 }])
    }
  }
})
