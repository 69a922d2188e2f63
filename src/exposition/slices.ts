import { setImmediate } from 'node:timers/promises'

/** Work in steps of well below a millisecond each. Other work can run between any two of them. */
export type Steps<T> = Generator<undefined, T>

// With one more step and the rest of the program, the event loop still responds within 10 ms.
const SLICE_MS = 5

/** Runs the work in slices of a few milliseconds and lets the event loop run between them. */
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

/** Runs the work to its end without a pause. */
export function runToEnd<T>(steps: Steps<T>): T {
  for (;;) {
    const { done, value } = steps.next()
    if (done) return value
  }
}
