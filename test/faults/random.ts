/** Chance that comes out the same for the same seed. */
export type Random = {
  /** A whole number, at least 0 and less than this. */
  below(limit: number): number
  pick<T>(choices: readonly T[]): T
}

/** @see https://prng.di.unimi.it/splitmix64.c, with 32 bits */
export function createRandom(seed: number): Random {
  let state = seed >>> 0
  const next = () => {
    state = (state + 0x9e3779b9) >>> 0
    let z = state
    z = Math.imul(z ^ (z >>> 16), 0x21f0aaad)
    z = Math.imul(z ^ (z >>> 15), 0x735a2d97)
    return (z ^ (z >>> 15)) >>> 0
  }
  const below = (limit: number) => next() % limit
  return { below, pick: (choices) => choices[below(choices.length)]! }
}
