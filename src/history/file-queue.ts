/** Runs asynchronous functions one after the other, in the order of the calls. */
export type FileQueue = <T>(use: () => Promise<T>) => Promise<T>

/**
 * Creates the queue of all uses of history files. Node.js has four threads for files, compression and name resolution, and
 * a slow disk must not block more than one of them: scrapes wait for compression.
 */
export function createFileQueue(): FileQueue {
  let last: Promise<unknown> = Promise.resolve()
  return (use) => {
    const result = last.then(use)
    last = result.catch(() => undefined)
    return result
  }
}
