/**
 * Limits the concurrent requests of each client to each server, so that one client cannot lock out the others.
 */
export type RequestLimit = {
  /**
   * Calls `work` and returns its result. If the client has reached its limit for the source, returns
   * `undefined` without calling `work`.
   */
  run<T>(source: object, client: string, work: () => Promise<T>): Promise<T> | undefined
}

/** @param max The maximum number of concurrent requests of a client to a source. 0 means no limit. */
export function createRequestLimit(max: number): RequestLimit {
  const running = new WeakMap<object, Map<string, number>>()
  return {
    run(source, client, work) {
      const clients = running.get(source) ?? new Map<string, number>()
      running.set(source, clients)
      const count = clients.get(client) ?? 0
      if (max > 0 && count >= max) return undefined
      clients.set(client, count + 1)
      return work().finally(() => {
        const remaining = clients.get(client)! - 1
        if (remaining === 0) clients.delete(client)
        else clients.set(client, remaining)
      })
    },
  }
}
