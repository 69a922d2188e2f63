import type { Steps } from '../../src/exposition/slices.js'

/**
 * Runs work that is divided into steps to its end. Returns the number of pauses between the steps, and the result.
 */
export function runSteps<T>(work: Steps<T>): { turns: number; result: T } {
  for (let turns = 0; ; turns++) {
    const { done, value } = work.next()
    if (done) return { turns, result: value }
  }
}
