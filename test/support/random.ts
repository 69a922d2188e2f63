/** A pseudo-random generator with the same results for the same seed. */
export type Random = {
  /** An integer from 0 to `end - 1`. */
  below(end: number): number
  pick<T>(from: readonly T[]): T
}

/** The generator mulberry32, by Tommy Ettinger (public domain). */
export function createRandom(seed: number): Random {
  let state = seed >>> 0
  const below = (end: number): number => {
    state = (state + 0x6d2b79f5) >>> 0
    let t = state
    t = Math.imul(t ^ (t >>> 15), t | 1)
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61)
    return (((t ^ (t >>> 14)) >>> 0) % 0x1_0000_0000) % Math.max(end, 1)
  }
  return { below, pick: (from) => from[below(from.length)]! }
}
