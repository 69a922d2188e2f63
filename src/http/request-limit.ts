/** Counts what is under way by what is asked and who asks, so that one's crowd keeps nobody else out. */
export type Limit = {
  /** Its result, or `undefined`, and nothing is done, when as many as may be are under way. */
  run<T>(asked: object, client: string, work: () => Promise<T>): Promise<T> | undefined
}

/** @param max 0 for no limit. */
export function createLimit(max: number): Limit {
  const underWay = new WeakMap<object, Map<string, number>>()
  return {
    run(asked, client, work) {
      const clients = underWay.get(asked) ?? new Map<string, number>()
      underWay.set(asked, clients)
      const before = clients.get(client) ?? 0
      if (max > 0 && before >= max) return undefined
      clients.set(client, before + 1)
      return work().finally(() => {
        const left = clients.get(client)! - 1
        if (left === 0) clients.delete(client)
        else clients.set(client, left)
      })
    },
  }
}
