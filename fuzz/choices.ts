/** Decodes values from the bytes of an input. A small change of the bytes changes few of the values. */
export type Choices = {
  below(end: number): number
  pick<T>(from: readonly T[]): T
  /** Returns a text from at most `most` bytes of the input, decoded as UTF-8. */
  text(most: number): string
  double(): number
  isEmpty(): boolean
}

/** Creates a decoder for `input`. After the last byte of `input`, it returns 0, empty texts, and first choices. */
export function choicesOf(input: Buffer): Choices {
  let at = 0
  const byte = () => input[at++] ?? 0
  const below = (end: number) => (end > 256 ? byte() * 256 + byte() : byte()) % end
  return {
    below,
    pick: (from) => from[below(from.length)]!,
    text(most) {
      const length = below(most + 1)
      const text = input.toString('utf8', at, at + length)
      at += length
      return text
    },
    double() {
      const bytes = Buffer.alloc(8)
      at += input.subarray(at).copy(bytes)
      return bytes.readDoubleBE()
    },
    isEmpty: () => at >= input.length,
  }
}
