import { ConfigError } from '../../errors.js'

const MIB = 1024 * 1024
export const MAX_BODY_MIB = 256
export const MAX_LINE_MIB = 16

/**
 * Calls `onLine` with each line, without its line feed. Each character of the line is one byte of the body, which
 * takes at most half the memory of a text with 16 bits per character. The bytes can be searched for separators,
 * because all separators are ASCII.
 *
 * @returns The text after the last line feed.
 * @throws {ConfigError} as soon as the body or a line is too long.
 */
export async function readLines(
  chunks: AsyncIterable<Uint8Array>,
  onLine: (line: string) => void,
): Promise<string> {
  const start = createLineStart()
  let length = 0
  for await (const chunk of chunks) {
    length += chunk.length
    if (length > MAX_BODY_MIB * MIB) {
      throw new ConfigError(`the metrics are longer than the limit of ${MAX_BODY_MIB} MiB`)
    }
    const text = Buffer.from(chunk.buffer, chunk.byteOffset, chunk.length).toString('latin1')
    let at = 0
    for (let end = text.indexOf('\n'); end >= 0; end = text.indexOf('\n', at)) {
      onLine(at === 0 ? start.take() + text.slice(0, end) : text.slice(at, end))
      at = end + 1
    }
    start.add(text.slice(at))
  }
  return start.take()
}

/** Stores the start of a line whose end is in a later chunk. */
function createLineStart() {
  let bytes = Buffer.alloc(0)
  let length = 0
  return {
    add(more: string): void {
      if (length + more.length > MAX_LINE_MIB * MIB) {
        throw new ConfigError(`a line is longer than the limit of ${MAX_LINE_MIB} MiB`)
      }
      if (length + more.length > bytes.length) {
        // The buffer is doubled, so that a line that arrives byte by byte is not copied for each byte.
        const larger = Buffer.alloc(2 * (length + more.length))
        bytes.copy(larger, 0, 0, length)
        bytes = larger
      }
      length += bytes.write(more, length, 'latin1')
    },
    take(): string {
      const line = bytes.toString('latin1', 0, length)
      length = 0
      return line
    },
  }
}
