/**
 * A queue in which addresses take turns, and in the turns of an address, its names. The items of one name at
 * one address are a line: the oldest item is taken first.
 */
export type FairQueue<T> = {
  /**
   * Adds an item to the line of a name at an address.
   *
   * @returns The item that was dropped because the queue is full; `undefined` if none was dropped. It is the
   *   oldest item of the longest line at the address with the most items.
   */
  add(address: string, name: string, item: T): T | undefined
  /** Removes and returns the next item; `undefined` if the queue is empty. */
  take(): T | undefined
}

/** Creates a queue in which a client address with many items delays each other address by one item only. */
export function createFairQueue<T>(maxItems: number): FairQueue<T> {
  // The items by address and name. The order of the keys of each map is the order in which they have their
  // turns.
  const addresses = new Map<string, Map<string, T[]>>()
  let size = 0

  function removeFirst(address: string, name: string): T {
    const lines = addresses.get(address)!
    const [item, ...rest] = lines.get(name)!
    size--
    if (rest.length > 0) lines.set(name, rest)
    else lines.delete(name)
    if (lines.size === 0) addresses.delete(address)
    return item!
  }

  function dropOldest(): T {
    const [address, lines] = longest(addresses, (each) => sum(each.values()))
    const [name] = longest(lines, (line) => line.length)
    return removeFirst(address, name)
  }

  return {
    add(address, name, item) {
      const lines = addresses.get(address) ?? new Map<string, T[]>()
      addresses.set(address, lines)
      lines.set(name, [...(lines.get(name) ?? []), item])
      size++
      return size > maxItems ? dropOldest() : undefined
    },
    take() {
      const [first] = addresses
      if (first === undefined) return undefined
      const [address, lines] = first
      const name = lines.keys().next().value!
      const item = removeFirst(address, name)
      // The next turn of this address is after those of all other addresses; the same applies to the name.
      moveToEnd(lines, name)
      moveToEnd(addresses, address)
      return item
    },
  }
}

function moveToEnd<V>(all: Map<string, V>, key: string): void {
  const value = all.get(key)
  if (value === undefined) return
  all.delete(key)
  all.set(key, value)
}

function longest<V>(all: ReadonlyMap<string, V>, lengthOf: (each: V) => number): [string, V] {
  return [...all].reduce((a, b) => (lengthOf(b[1]) > lengthOf(a[1]) ? b : a))
}

function sum(lines: Iterable<readonly unknown[]>): number {
  return Array.from(lines).reduce((total, { length }) => total + length, 0)
}
