import { createHash, randomUUID } from 'node:crypto'

const MEMORY_MS = 24 * 3_600_000
const MAX_MESSAGES = 10_000

/** A message, and the recipients that have received it. */
export type RememberedMessage = {
  readonly key: string
  readonly received: Set<string>
  /** The message that the same group of alerts had before. */
  readonly previous: Omit<RememberedMessage, 'previous'> | undefined
  /** Returns the id of this message for a recipient. It is the same in each attempt. */
  readonly idFor: (recipient: string) => string
}

export type DeliveredMessages = {
  /** Returns the message of a group if it has this key, or begins to remember a new message of the group. */
  open(group: string, key: string): RememberedMessage
  /** Runs `deliver`, or joins the delivery of the same message that runs already. */
  share<T>(group: string, key: string, deliver: () => Promise<T>): Promise<T>
}

/**
 * Remembers who has received which message, so that a repeated attempt does not send it to them again. The memory has the
 * last message of each group of alerts. An older message of a group is not a repetition when it comes again: the alert
 * has changed its state twice since then.
 *
 * The memory of a message ends 24 hours after its first attempt, also if it is repeated until then. Otherwise the
 * reminders of Alertmanager (repeat_interval) would never be delivered.
 */
export function createDeliveredMessages({ now }: { now: () => number }): DeliveredMessages {
  // In the order of the first attempts.
  const messages = new Map<string, RememberedMessage & { readonly sinceMs: number }>()
  const running = new Map<string, Promise<unknown>>()

  function removeOld(): void {
    for (const [group, { sinceMs }] of messages) {
      if (now() - sinceMs < MEMORY_MS && messages.size <= MAX_MESSAGES) return
      messages.delete(group)
    }
  }

  return {
    open(group, key) {
      removeOld()
      const previous = messages.get(group)
      if (previous?.key === key) return previous
      const message = { ...createMessageMemory(key, previous), sinceMs: now() }
      messages.delete(group)
      messages.set(group, message)
      removeOld()
      return message
    },

    share<T>(group: string, key: string, deliver: () => Promise<T>): Promise<T> {
      const name = `${group} ${key}`
      const same = running.get(name) as Promise<T> | undefined
      if (same) return same
      const result = deliver().finally(() => running.delete(name))
      running.set(name, result)
      return result
    },
  }
}

function createMessageMemory(key: string, previous: RememberedMessage | undefined) {
  // An alert that fires again can have the same key. Its message needs another id, since clients drop a message with an
  // id that they know.
  const seed = randomUUID()
  return {
    key,
    received: new Set<string>(),
    // Without this copy, each message would keep all messages before it in memory.
    previous: previous && { ...previous, previous: undefined },
    idFor: (recipient: string) =>
      createHash('sha256').update(`${seed} ${recipient}`).digest('base64url').slice(0, 22),
  }
}
