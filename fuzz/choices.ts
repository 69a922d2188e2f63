/** Decodes structured values from bytes, so that a small change of an input causes a small change of values. */
export type Choices = {
  below(end: number): number
  pick<T>(from: readonly T[]): T
  /** At most `most` bytes, decoded as UTF-8. */
  text(most: number): string
  double(): number
  isEmpty(): boolean
}

/** After the last byte of `input`, every value is 0 or empty. */
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
