/**
 * Reads an exposition of delimited io.prometheus.client.MetricFamily messages. The reader shares no code with the
 * exporter's encoder.
 */

import assert from 'node:assert/strict'

export type ProtoMetric = {
  /** The labels as a list of names and values. In an object, duplicate labels would not be visible. */
  readonly labels: readonly (readonly [name: string, value: string])[]
  /** The value of a counter, gauge or untyped metric. */
  readonly value?: number
  readonly count?: number
  readonly sum?: number
  /** The upper bounds of a histogram or the quantiles of a summary, each with its value. */
  readonly steps?: readonly (readonly [bound: number, value: number])[]
  readonly created?: { readonly seconds: bigint; readonly nanos: number }
  readonly timestampMs?: number
}

export type ProtoFamily = {
  readonly name: string
  readonly help: string | undefined
  readonly type: string
  readonly unit: string | undefined
  readonly metrics: readonly ProtoMetric[]
}

type Field = bigint | number | Uint8Array
type Message = ReadonlyMap<number, readonly Field[]>

const TYPES = ['counter', 'gauge', 'summary', 'untyped', 'histogram']
/** For each metric type, the number of the field in the message Metric that has the value. */
const VALUE = { counter: 3, gauge: 2, summary: 4, untyped: 5, histogram: 7 }

export function decodeFamilies(bytes: Uint8Array): ProtoFamily[] {
  const families: ProtoFamily[] = []
  for (let at = 0; at < bytes.length;) {
    const [size, start] = readVarint(bytes, at)
    at = start + Number(size)
    assert.ok(at <= bytes.length, 'a message ends before its stated length')
    families.push(readFamily(readMessage(bytes.subarray(start, at), [4])))
  }
  return families
}

function readFamily(message: Message): ProtoFamily {
  assertFields(message, [1, 2, 3, 4, 5])
  const type = TYPES[Number(message.get(3)?.[0])]
  assert.ok(type !== undefined && type in VALUE, 'a MetricFamily has no type, or an unknown type')
  return {
    name: text(message, 1) ?? assert.fail('a MetricFamily has no name'),
    help: text(message, 2),
    type,
    unit: text(message, 5),
    metrics: (message.get(4) ?? []).map((field) => readMetric(field, type as keyof typeof VALUE)),
  }
}

function readMetric(field: Field, type: keyof typeof VALUE): ProtoMetric {
  const metric = readMessage(field, [1])
  assertFields(metric, [1, VALUE[type], 6])
  const timestamp = metric.has(6) ? { timestampMs: number(metric, 6) } : {}
  const labels = (metric.get(1) ?? []).map((each) => {
    const pair = readMessage(each)
    assertFields(pair, [1, 2])
    return [text(pair, 1) ?? assert.fail(), text(pair, 2) ?? assert.fail()] as const
  })
  const value = readMessage(
    metric.get(VALUE[type])?.[0] ?? assert.fail('a Metric has no value of the type of its family'),
    [3],
  )
  if (type === 'gauge' || type === 'untyped') {
    assertFields(value, [1])
    return { labels, value: number(value, 1), ...timestamp }
  }
  if (type === 'counter') {
    assertFields(value, [1, 3])
    return { labels, value: number(value, 1), ...created(value, 3), ...timestamp }
  }
  const isHistogram = type === 'histogram'
  assertFields(value, isHistogram ? [1, 2, 3, 4, 15] : [1, 2, 3, 4])
  return {
    labels,
    count: isHistogram && value.has(4) ? number(value, 4) : number(value, 1),
    sum: number(value, 2),
    steps: (value.get(3) ?? []).map((each) => {
      const step = readMessage(each)
      assertFields(step, isHistogram ? [1, 2, 4] : [1, 2])
      return isHistogram
        ? ([number(step, 2), step.has(4) ? number(step, 4) : number(step, 1)] as const)
        : ([number(step, 1), number(step, 2)] as const)
    }),
    ...created(value, isHistogram ? 15 : 4),
    ...timestamp,
  }
}

function created(message: Message, field: number): Pick<ProtoMetric, 'created'> {
  const bytes = message.get(field)?.[0]
  if (bytes === undefined) return {}
  const timestamp = readMessage(bytes)
  assertFields(timestamp, [1, 2])
  const nanos = timestamp.has(2) ? number(timestamp, 2) : 0
  assert.ok(nanos < 1e9)
  return { created: { seconds: BigInt(number(timestamp, 1)), nanos } }
}

function number(message: Message, field: number): number {
  const value = message.get(field)?.[0]
  assert.ok(
    typeof value === 'number' || typeof value === 'bigint',
    `field ${field} is not a number`,
  )
  return Number(value)
}

function text(message: Message, field: number): string | undefined {
  const value = message.get(field)?.[0]
  if (value === undefined) return undefined
  assert.ok(value instanceof Uint8Array)
  return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(value)
}

function assertFields(message: Message, known: readonly number[]): void {
  for (const field of message.keys()) assert.ok(known.includes(field), `field ${field} is unknown`)
}

/**
 * Reads the fields of a message. The keys are field numbers. Only the fields in `repeated` may occur several times.
 */
export function readMessage(field: Field, repeated: readonly number[] = []): Message {
  assert.ok(field instanceof Uint8Array, 'the field of a message is not length-delimited')
  const view = new DataView(field.buffer, field.byteOffset, field.byteLength)
  const fields = new Map<number, Field[]>()
  let at = 0
  while (at < field.length) {
    const [key, start] = readVarint(field, at)
    const id = Number(key >> 3n)
    let value: Field
    switch (key & 7n) {
      case 0n:
        ;[value, at] = readVarint(field, start)
        break
      case 1n:
        value = view.getFloat64(start, true)
        at = start + 8
        break
      case 2n: {
        const [size, from] = readVarint(field, start)
        at = from + Number(size)
        assert.ok(at <= field.length, 'a field ends before its stated length')
        value = field.subarray(from, at)
        break
      }
      default:
        assert.fail(`a field has the unsupported wire type ${key & 7n}`)
    }
    const values = fields.get(id)
    if (!values) fields.set(id, [value])
    else {
      assert.ok(repeated.includes(id), `the field ${id} occurs twice in a message`)
      values.push(value)
    }
  }
  return fields
}

function readVarint(bytes: Uint8Array, from: number): [value: bigint, end: number] {
  let value = 0n
  for (let at = from; at < bytes.length; at++) {
    const byte = bytes[at]!
    value |= BigInt(byte & 0x7f) << BigInt(7 * (at - from))
    if (byte < 0x80) {
      assert.ok(at === from || byte > 0, 'a varint with superfluous bytes')
      assert.ok(value < 2n ** 64n, 'a varint of more than 64 bits')
      return [value, at + 1]
    }
  }
  return assert.fail('an unterminated varint')
}
