/** Copies all elements to the beginning of a typed array. @returns The typed array. */
export function copyInto<T extends { set(from: ArrayLike<number>): void }>(
  target: T,
  from: ArrayLike<number>,
): T {
  target.set(from)
  return target
}
