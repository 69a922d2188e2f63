/** Limits concurrent requests for each source and client, so that one client cannot lock out the others. */
export type RequestLimit = {
  /** Runs the work, or returns `undefined` without running it when the limit is reached. */
  run<T>(source: object, client: string, work: () => Promise<T>): Promise<T> | undefined
}

/** @param max The limit for each source and client; 0 for no limit. */
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
