export type Queue<T> = {
  readonly push: (item: T) => void
  /** Waits for the next item that `fits`; drops the items before it. */
  readonly next: (fits?: (item: T) => boolean) => Promise<T>
}

/**
 * Creates a queue of events: a caller of `next` also gets events from before the call.
 *
 * @param waitMs How long `next` waits before it fails.
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
          // A test that waits for a missing event fails with a stack trace.
          const fail = () => {
            reject(new Error(`nothing came within ${waitMs / 1000} s`))
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
