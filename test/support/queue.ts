export type Queue<T> = {
  readonly push: (item: T) => void
  /** Waits for the next item for which `fits` returns true, and takes it. Drops all items before it. */
  readonly next: (fits?: (item: T) => boolean) => Promise<T>
}

/**
 * Creates a queue of events for tests. `next` also returns events that happened before it was called.
 *
 * @param waitMs The number of milliseconds after which `next` fails if no item comes.
 */
export function createQueue<T>(waitMs = 300_000): Queue<T> {
  const items: T[] = []
  let wake = () => {}
  return {
    push(item) {
      items.push(item)
      wake()
    },
    async next(fits = () => true) {
      for (;;) {
        while (items.length > 0) {
          const item = items.shift()!
          if (fits(item)) return item
        }
        await new Promise<void>((resolve, reject) => {
          // With this timeout, a test whose event does not happen fails with a stack trace instead of hanging.
          const fail = () => {
            reject(new Error(`the expected event did not happen within ${waitMs / 1000} s`))
          }
          const timer = waitMs === Infinity ? undefined : setTimeout(fail, waitMs)
          wake = () => {
            clearTimeout(timer)
            resolve()
          }
        })
      }
    },
  }
}
