/** Waits for one condition at a time that events make true. */
export type EventWaiter = {
  /**
   * Resolves with the first result of `check` that is not undefined. `check` runs now and after each `notify`. Rejects
   * with the first failure, unless `check` has a result from before it.
   */
  wait<T>(check: () => T | undefined): Promise<T>
  notify(): void
  /** Ends the current and all later waiting. Only the first failure counts. */
  fail(error: Error): void
  hasFailed(): boolean
}

export function createEventWaiter(): EventWaiter {
  let failure: Error | undefined
  let recheck = () => {}

  return {
    wait: (check) =>
      new Promise((resolve, reject) => {
        recheck = () => {
          const result = check()
          if (result === undefined && failure === undefined) return
          recheck = () => {}
          if (result !== undefined) resolve(result)
          else if (failure) reject(failure)
        }
        recheck()
      }),
    notify() {
      recheck()
    },
    fail(error) {
      failure ??= error
      recheck()
    },
    hasFailed: () => failure !== undefined,
  }
}
