/** What a check sent and received, a line each. Its size is limited, because it holds data from the network. */
export type Transcript = {
  note(text: string): void
  sent(text: string): void
  received(text: string): void
  readonly lines: readonly string[]
}

const MAX_LINES = 60
const MAX_LINE_LENGTH = 2000

export function createTranscript(): Transcript {
  const lines: string[] = []
  const add = (prefix: string, text: string) => {
    if (lines.length < MAX_LINES) lines.push(toPlainLine(prefix + text, MAX_LINE_LENGTH))
  }
  return {
    note: (text) => {
      add('', text)
    },
    sent: (text) => {
      add('sent: ', text)
    },
    received: (text) => {
      add('received: ', text)
    },
    lines,
  }
}

/**
 * Characters that could change how a terminal or a page shows the rest of a line: control and format characters, which
 * include those of text direction, and separators of lines.
 */
const UNSAFE = /[\p{C}\p{Zl}\p{Zp}]/gu

/**
 * Returns a text from the network as one line without control characters. The result is a copy, because a slice keeps
 * the whole text in memory.
 */
export function toPlainLine(text: string, maxLength: number): string {
  const start = text.slice(0, maxLength + 1)
  const plain = start.replace(/\s+/g, ' ').replace(UNSAFE, '\uFFFD').trim()
  const short = plain.length > maxLength ? `${plain.slice(0, maxLength - 1)}…` : plain
  return Buffer.from(short).toString()
}
