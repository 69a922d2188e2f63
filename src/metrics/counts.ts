/** Adds to what is counted by that name, which may be the first of it. */
export function addCount(counts: Map<string, number>, name: string, count: number): void {
  counts.set(name, (counts.get(name) ?? 0) + count)
}
