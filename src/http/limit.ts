/** Counts what is under way by key, so that one key's crowd keeps nobody else out. */
export type Limit = {
  /** Its result, or `undefined`, and nothing is done, when as many as may be are under way. */
  run<T>(key: object, work: () => Promise<T>): Promise<T> | undefined
}

/** @param max 0 for no limit. */
export function createLimit(max: number): Limit {
  const underWay = new WeakMap<object, number>()
  return {
    run(key, work) {
      const before = underWay.get(key) ?? 0
      if (max > 0 && before >= max) return undefined
      underWay.set(key, before + 1)
      return work().finally(() => underWay.set(key, underWay.get(key)! - 1))
    },
  }
}
