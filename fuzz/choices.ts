/** Structure out of bytes, so that small changes of an input are small changes of what it means. */
export type Choices = {
  below(end: number): number
  pick<T>(from: readonly T[]): T
  /** Up to so many bytes, as the text that UTF-8 makes of them. */
  text(most: number): string
  double(): number
  isEmpty(): boolean
}

/** Where the bytes end, all is 0. */
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
