import { setImmediate } from 'node:timers/promises'

/**
 * Work that is divided into steps. Each step takes well below a millisecond, and other work can run between two
 * steps.
 */
export type Steps<T> = Generator<undefined, T>

// A slice ends with the first step that ends after 5 ms. So the event loop can react to other events within 10
// ms.
const SLICE_MS = 5

/**
 * Runs the work in slices of a few milliseconds, and lets the event loop process other events between the
 * slices.
 */
export async function runInSlices<T>(
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

/** Runs all steps of the work without letting the event loop process other events in between. */
export function runToEnd<T>(steps: Steps<T>): T {
  for (;;) {
    const { done, value } = steps.next()
    if (done) return value
  }
}
