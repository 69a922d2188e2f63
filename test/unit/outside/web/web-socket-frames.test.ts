import assert from 'node:assert/strict'
import { test } from 'node:test'
import { createFrameReader, encodeFrame } from '../../../../src/outside/web/web-socket-frames.js'

/** The frame of a server: its first byte, and an unmasked payload. */
function frame(first: number, payload: string | Buffer): Buffer {
  const bytes = Buffer.from(payload)
  const { length } = bytes
  const long = Buffer.alloc(8)
  long.writeBigUInt64BE(BigInt(length))
  const size =
    length < 126
      ? Buffer.from([length])
      : length < 65_536
        ? Buffer.from([126, ...long.subarray(6)])
        : Buffer.from([127, ...long])
  return Buffer.concat([Buffer.from([first]), size, bytes])
}

const show = (messages: ReturnType<ReturnType<typeof createFrameReader>['push']>) =>
  messages.map(({ kind, payload }) => `${kind} ${payload.toString()}`)

test('the examples of RFC 6455 §5.7 are read', () => {
  const hex = ['810548656c6c6f', '010348656c', '80026c6f', '890548656c6c6f']
  const reader = createFrameReader(1000)
  assert.deepEqual(show(reader.push(Buffer.from(hex.join(''), 'hex'))), [
    'text Hello',
    'text Hello',
    'ping Hello',
  ])
})

test('a frame of a client has a mask and the right length', () => {
  for (const length of [0, 125, 126, 65_535]) {
    const payload = Buffer.alloc(length, 'ab')
    const encoded = encodeFrame(1, payload)
    const start = length < 126 ? 2 : 4
    assert.equal(encoded[0], 0x81)
    assert.equal(encoded[1], 0x80 | Math.min(length, 126))
    if (length >= 126) assert.equal(encoded.readUInt16BE(2), length)
    const mask = encoded.subarray(start, start + 4)
    const plain = encoded.subarray(start + 4).map((byte, i) => byte ^ mask[i % 4]!)
    assert.deepEqual(Buffer.from(plain), payload)
  }
  assert.throws(() => encodeFrame(1, Buffer.alloc(65_536)))
})

test('frames are read from chunks of any size', () => {
  const long = 'é'.repeat(40_000)
  const bytes = Buffer.concat([
    ...[
      frame(0x81, 'a'),
      frame(0x01, 'b'),
      frame(0x89, 'ping'),
      frame(0x00, 'c'),
      frame(0x80, 'd'),
    ],
    ...[frame(0x82, ''), frame(0x81, 'e'.repeat(300)), frame(0x81, long), frame(0x88, 'x')],
  ])
  const expected = ['text a', 'ping ping', 'text bcd', 'binary ', `text ${'e'.repeat(300)}`, `text ${long}`, 'close x'] // prettier-ignore
  for (const size of [1, 7, 1000, bytes.length]) {
    const reader = createFrameReader(100_000)
    const messages: string[] = []
    for (let at = 0; at < bytes.length; at += size)
      messages.push(...show(reader.push(bytes.subarray(at, at + size))))
    assert.deepEqual(messages, expected, `${size}`)
  }
})

const BROKEN = {
  'reserved bits': frame(0xc1, 'a'),
  'a reserved opcode': frame(0x83, 'a'),
  'a reserved control opcode': frame(0x8b, 'a'),
  'a masked frame': encodeFrame(1, Buffer.from('a')),
  'a fragmented control frame': frame(0x09, 'a'),
  'a continuation without a start': frame(0x80, 'a'),
  'a new message inside of a message': Buffer.concat([frame(0x01, 'a'), frame(0x81, 'b')]),
  'a frame that is too long': Buffer.from('817f7fffffffffffffff', 'hex'),
  'a message that is too long': Buffer.concat([frame(0x01, 'a'.repeat(60)), frame(0x80, 'b'.repeat(60))]), // prettier-ignore
}
for (const [what, bytes] of Object.entries(BROKEN)) {
  test(`${what} is an error`, () => {
    assert.throws(() => createFrameReader(100).push(bytes))
  })
}
