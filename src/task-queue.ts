/** Runs asynchronous functions one after the other, in the order of the calls. */
export type TaskQueue = <T>(task: () => Promise<T>) => Promise<T>

export function createTaskQueue(): TaskQueue {
  let last: Promise<unknown> = Promise.resolve()
  return (task) => {
    const result = last.then(task)
    last = result.catch(() => undefined)
    return result
  }
}
