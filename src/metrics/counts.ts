/** Increases the count that `counts` has under `name`. A name that `counts` does not have yet starts at 0. */
export function addCount(counts: Map<string, number>, name: string, count: number): void {
  counts.set(name, (counts.get(name) ?? 0) + count)
}
