// The time after which a missing receipt is counted. A person who is offline for longer counts as unconfirmed, too.
const WAIT_MS = 600_000
const MAX_EXPECTED = 10_000

export type Receipts = {
  /** Expects a receipt of a message, if its recipient has ever sent a receipt. */
  expect(to: string, id: string): void
  /** Expects no receipt of a message, because it was not delivered. */
  cancel(to: string, id: string): void
  /** Takes the receipt of a message from its recipient. */
  confirm(from: string, id: string): void
  /** Returns how many receipts were expected and did not arrive in time. */
  countMissing(): number
  /** Forgets all people except these. */
  retain(people: readonly string[]): void
}

/**
 * Counts missing receipts (XEP-0184). Many clients send no receipts, so a receipt is expected only from a person who has
 * sent one before.
 */
export function createReceipts({ now }: { now: () => number }): Receipts {
  const confirming = new Set<string>()
  // The expected receipts, the oldest first, and when each of them is missing.
  const expected = new Map<string, { readonly to: string; readonly dueMs: number }>()
  // The last message to each person. Its receipt is the first sign that this person's client sends receipts.
  const last = new Map<string, string>()
  let missing = 0

  function removeDue(): void {
    for (const [key, { dueMs }] of expected) {
      if (dueMs > now() && expected.size <= MAX_EXPECTED) return
      expected.delete(key)
      missing++
    }
  }

  return {
    expect(to, id) {
      last.set(to, id)
      if (!confirming.has(to)) return
      expected.set(getKey(to, id), { to, dueMs: now() + WAIT_MS })
      removeDue()
    },
    cancel(to, id) {
      expected.delete(getKey(to, id))
    },
    confirm(from, id) {
      removeDue()
      const isExpected = expected.delete(getKey(from, id))
      if (isExpected || last.get(from) === id) confirming.add(from)
    },
    countMissing() {
      removeDue()
      return missing
    },
    retain(people) {
      for (const to of [...last.keys()]) if (!people.includes(to)) last.delete(to)
      for (const to of [...confirming]) if (!people.includes(to)) confirming.delete(to)
      for (const [key, { to }] of [...expected]) if (!people.includes(to)) expected.delete(key)
    },
  }
}

// A JID contains no space, because configured JIDs are checked.
const getKey = (to: string, id: string) => `${to} ${id}`
