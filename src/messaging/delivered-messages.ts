import { createHash, randomUUID } from 'node:crypto'

const MEMORY_MS = 24 * 3_600_000
// Alertmanager repeats a notification without a confirmation sooner than this.
const RETRY_MS = 15 * 60_000
const MAX_MESSAGES = 10_000
// With very many recipients, fewer messages are remembered, so that the memory stays below 100 MB.
const MAX_OUTCOMES = 1_000_000

/** A message and its results. A recipient is in at most one of the two collections. */
export type RememberedMessage = {
  readonly received: Set<string>
  /** The recipients that have rejected the message, and why. */
  readonly rejected: Map<string, string>
  /** Whether the exporter has confirmed the message to Alertmanager, which does not repeat it then. */
  isConfirmed: boolean
  /** Identifies the alerts in the message, if all of them are firing. */
  readonly firingAlerts: string | undefined
  /** The message of the same group of alerts before this one. */
  readonly previous: PreviousMessage | undefined
  /** Returns the id of this message for a recipient. It is the same in each attempt. */
  readonly idFor: (recipient: string) => string
}

type PreviousMessage = Pick<RememberedMessage, 'received' | 'idFor' | 'firingAlerts'>

export type DeliveredMessages = {
  /** Returns the message of a group that is being repeated, or begins to remember a new message. */
  open(group: string, key: string, firingAlerts?: string): RememberedMessage
  /** Runs `deliver`, or joins the delivery of the same message that runs already. */
  share<T>(group: string, key: string, deliver: () => Promise<T>): Promise<T>
}

/**
 * Remembers who has received which message, so that a repeated attempt does not send it to them again.
 *
 * A key alone does not show whether a message is repeated. If Prometheus cannot reach Alertmanager for some minutes, an alert
 * is resolved and fires again with the same start. So a message counts as a repetition only if nothing has changed in its
 * group since then, or if it was tried shortly before and Alertmanager has no confirmation of it yet. Otherwise, it is a new
 * message with a new id.
 *
 * The memory of a message ends 24 hours after its first attempt, also if it is repeated until then. Otherwise the
 * reminders of Alertmanager (repeat_interval) would never be delivered.
 */
export function createDeliveredMessages({
  now,
  countRecipients,
}: {
  now: () => number
  countRecipients: () => number
}): DeliveredMessages {
  type Entry = RememberedMessage & {
    readonly group: string
    readonly sinceMs: number
    /** The time of the last attempt. */
    lastMs: number
  }
  // By group and key, in the order of the first attempts.
  const messages = new Map<string, Entry>()
  // The message of each group that was tried last.
  const latest = new Map<string, Entry>()
  const running = new Map<string, Promise<unknown>>()

  function removeOld(): void {
    const max = Math.min(MAX_MESSAGES, Math.ceil(MAX_OUTCOMES / Math.max(1, countRecipients())))
    for (const [name, entry] of messages) {
      if (now() - entry.sinceMs < MEMORY_MS && messages.size <= max) return
      messages.delete(name)
      if (latest.get(entry.group) === entry) latest.delete(entry.group)
    }
  }

  /** Whether the message that arrives again is a repetition. */
  const isRepeated = (known: Entry) =>
    latest.get(known.group) === known || (!known.isConfirmed && now() - known.lastMs <= RETRY_MS)

  return {
    open(group, key, firingAlerts) {
      removeOld()
      const name = formatName(group, key)
      const known = messages.get(name)
      if (known && isRepeated(known)) {
        known.lastMs = now()
        latest.set(group, known)
        return known
      }
      // The new message is the youngest one.
      messages.delete(name)
      const entry = {
        ...createMessageMemory(latest.get(group), firingAlerts),
        group,
        sinceMs: now(),
        lastMs: now(),
      }
      messages.set(name, entry)
      latest.set(group, entry)
      removeOld()
      return entry
    },

    share<T>(group: string, key: string, deliver: () => Promise<T>): Promise<T> {
      const name = formatName(group, key)
      const same = running.get(name) as Promise<T> | undefined
      if (same) return same
      const result = deliver().finally(() => running.delete(name))
      running.set(name, result)
      return result
    },
  }
}

const formatName = (group: string, key: string) => `${group} ${key}`

function createMessageMemory(
  previous: PreviousMessage | undefined,
  firingAlerts: string | undefined,
): RememberedMessage {
  // After 24 hours, the same message is sent again. It needs another id then, since clients drop a message with an id that
  // they know.
  const seed = randomUUID()
  return {
    received: new Set(),
    rejected: new Map(),
    isConfirmed: false,
    firingAlerts,
    // Without this copy, each message would keep all messages before it in memory.
    previous: previous && {
      received: previous.received,
      idFor: previous.idFor,
      firingAlerts: previous.firingAlerts,
    },
    idFor: (recipient) =>
      createHash('sha256').update(`${seed} ${recipient}`).digest('base64url').slice(0, 22),
  }
}
