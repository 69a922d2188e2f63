import { setImmediate } from 'node:timers/promises'

/** Work in steps, each well below a millisecond, that may be interrupted between any two. */
export type Steps<T> = Generator<undefined, T>

/**
 * Does a step of some work and says whether it was the last. For what there is one of for each
 * family: a generator for each costs as much as rendering some ten values, and more to collect.
 */
export type Task = () => boolean

/** Families that are looked at in one step. */
export const PARTS_PER_STEP = 100

// With one step more and what the rest of the program does, the event loop answers within 10 ms.
const SLICE_MS = 5

/** Does the work in slices of a few milliseconds; others have their turn between them. */
export async function inSlices<T>(
  steps: Steps<T>,
  now: () => number = () => performance.now(),
): Promise<T> {
  for (;;) {
    const startedAt = now()
    do {
      const { done, value } = steps.next()
      if (done) return value
    } while (now() - startedAt < SLICE_MS)
    await setImmediate()
  }
}

/** Does the work at once. */
export function atOnce<T>(steps: Steps<T>): T {
  for (;;) {
    const { done, value } = steps.next()
    if (done) return value
  }
}
