/** A pseudo-random number generator. The same seed always gives the same numbers. */
export type Random = {
  /** Returns an integer from 0 to `end - 1`. */
  below(end: number): number
  pick<T>(from: readonly T[]): T
}

/** Creates a generator with the algorithm mulberry32, by Tommy Ettinger (public domain). */
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
