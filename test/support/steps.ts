import type { Steps } from '../../src/exposition/slices.js'

/** Runs work to its end; returns how often it paused, and its result. */
export function runSteps<T>(work: Steps<T>): { turns: number; result: T } {
  for (let turns = 0; ; turns++) {
    const { done, value } = work.next()
    if (done) return { turns, result: value }
  }
}
