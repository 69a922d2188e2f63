export type Queue<T> = {
  readonly push: (item: T) => void
  /** The next item, or the next one that fits; what does not fit is dropped. */
  readonly next: (fits?: (item: T) => boolean) => Promise<T>
}

/**
 * What happened, for whoever waits for it: an event is never missed, whenever one asks.
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
          // So that a test that waits in vain fails, and says where.
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
