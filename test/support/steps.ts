import type { Steps } from '../../src/exposition/slices.js'

/** How often the work let others have their turn, and what it came to. */
export function runSteps<T>(work: Steps<T>): { turns: number; result: T } {
  for (let turns = 0; ; turns++) {
    const { done, value } = work.next()
    if (done) return { turns, result: value }
  }
}
