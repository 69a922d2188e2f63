/**
 * The frames of the WebSocket protocol (RFC 6455 §5) that a check of RFC 7395 needs: it sends a few short text
 * messages, and reads a few. Extensions are never offered, so a frame with reserved bits is an error.
 */

import { randomBytes } from 'node:crypto'

export const OPCODES = { continuation: 0, text: 1, binary: 2, close: 8, ping: 9, pong: 10 } as const

/** A complete message, or a control frame. */
export type WebSocketMessage = {
  readonly kind: 'text' | 'binary' | 'close' | 'ping' | 'pong'
  readonly payload: Buffer
}

/** Encodes an unfragmented frame of a client, which must be masked (RFC 6455 §5.3). */
export function encodeFrame(opcode: number, payload: Buffer): Buffer {
  const mask = randomBytes(4)
  const { length } = payload
  if (length > 0xffff) throw new RangeError('A message of more than 65535 bytes')
  const size = length < 126 ? [0x80 | length] : [0x80 | 126, length >> 8, length & 0xff]
  const masked = payload.map((byte, i) => byte ^ mask[i % 4]!)
  return Buffer.concat([Buffer.from([0x80 | opcode, ...size]), mask, masked])
}

/**
 * Reads the frames of a server, in chunks of any size.
 *
 * @param maxBytes The limit for the bytes that are stored: the current message and the current frame.
 */
export function createFrameReader(maxBytes: number) {
  let unread: Buffer = Buffer.alloc(0)
  let fragments: Buffer[] = []
  let fragmentBytes = 0
  let fragmentedKind: 'text' | 'binary' | undefined

  const takeFrame = () => {
    const frame = decodeFrame(unread, maxBytes)
    if (frame) unread = unread.subarray(frame.end)
    return frame
  }
  return {
    /** @throws {Error} The bytes are no WebSocket frame of a server, or the message is too large. */
    push(chunk: Buffer): WebSocketMessage[] {
      unread = Buffer.concat([unread, chunk])
      const messages: WebSocketMessage[] = []
      for (let frame = takeFrame(); frame; frame = takeFrame()) {
        const { opcode, isLast, payload } = frame
        if (opcode >= OPCODES.close) {
          if (!isLast) throw new Error('a fragmented control frame')
          messages.push({ kind: kindOfControl(opcode), payload })
          continue
        }
        const isContinued = fragmentedKind !== undefined
        if ((opcode === OPCODES.continuation) !== isContinued)
          throw new Error('a wrong order of fragments')
        fragmentedKind ??= kindOfData(opcode)
        fragments.push(payload)
        fragmentBytes += payload.length
        if (fragmentBytes > maxBytes) throw new Error(`a message of more than ${maxBytes} bytes`)
        if (!isLast) continue
        messages.push({ kind: fragmentedKind, payload: Buffer.concat(fragments) })
        fragments = []
        fragmentBytes = 0
        fragmentedKind = undefined
      }
      return messages
    },
  }
}

/** Returns the first frame in the bytes, or undefined if it is not complete. */
function decodeFrame(bytes: Buffer, maxBytes: number) {
  if (bytes.length < 2) return undefined
  const [first = 0, second = 0] = bytes
  if ((first & 0x70) !== 0) throw new Error('reserved bits in a WebSocket frame')
  if ((second & 0x80) !== 0) throw new Error('a masked WebSocket frame of a server')
  const short = second & 0x7f
  const start = short === 126 ? 4 : short === 127 ? 10 : 2
  if (bytes.length < start) return undefined
  const length =
    short === 126 ? bytes.readUInt16BE(2) : short === 127 ? Number(bytes.readBigUInt64BE(2)) : short
  if (length > maxBytes) throw new Error(`a WebSocket frame of more than ${maxBytes} bytes`)
  const end = start + length
  if (bytes.length < end) return undefined
  return {
    opcode: first & 0x0f,
    isLast: (first & 0x80) !== 0,
    payload: bytes.subarray(start, end),
    end,
  }
}

function kindOfData(opcode: number): 'text' | 'binary' {
  if (opcode === OPCODES.text) return 'text'
  if (opcode === OPCODES.binary) return 'binary'
  throw new Error(`a WebSocket frame with the reserved opcode ${opcode}`)
}

function kindOfControl(opcode: number): 'close' | 'ping' | 'pong' {
  if (opcode === OPCODES.close) return 'close'
  if (opcode === OPCODES.ping) return 'ping'
  if (opcode === OPCODES.pong) return 'pong'
  throw new Error(`a WebSocket frame with the reserved opcode ${opcode}`)
}
