import { family, type Family } from '../metrics/family.js'

/** How long a recipient that cannot be reached holds back the confirmation of alerts. */
export const PATIENCE_MS = 5 * 60_000
/** The longest time between two attempts of the same outage. Grafana repeats a notification after its group interval. */
const MAX_PAUSE_MS = 3_600_000

type Outage = {
  /** The times of the first and of the last attempt that failed. */
  readonly sinceMs: number
  readonly lastMs: number
}

export type UnreachedRecipients = ReturnType<typeof createUnreachedRecipients>

/**
 * Knows the recipients that the last message did not reach, although Alertmanager does not repeat it for them.
 *
 * Alertmanager sends the resolution of an alert only after a response has confirmed the alert. So a recipient that cannot be
 * reached for a long time must not hold back the confirmation, because the other recipients would get no resolutions.
 */
export function createUnreachedRecipients(now: () => number) {
  const unreached = new Set<string>()
  const outages = new Map<string, Outage>()
  const isLong = ({ sinceMs, lastMs }: Outage) => lastMs - sinceMs > PATIENCE_MS
  const isContinued = (outage: Outage) => isLong(outage) || now() - outage.lastMs <= MAX_PAUSE_MS

  function remove(recipient: string): void {
    unreached.delete(recipient)
    outages.delete(recipient)
  }

  return {
    add(recipient: string): void {
      unreached.add(recipient)
    },
    /** Call it when the recipient has received a message. */
    remove,
    /**
     * Call it after each attempt that has not reached the recipient, although another recipient has the message. Returns
     * whether this has been so for too long. The next message is tried all the same.
     */
    shouldGiveUp(recipient: string): boolean {
      const last = outages.get(recipient)
      const sinceMs = last && isContinued(last) ? last.sinceMs : now()
      const outage = { sinceMs, lastMs: now() }
      outages.set(recipient, outage)
      if (isLong(outage)) unreached.add(recipient)
      return isLong(outage)
    },
    /** Call it when the stream has ended. The recipients may have been unreachable because of it. */
    forgetOutages(): void {
      outages.clear()
    },
    retain(isRecipient: (recipient: string) => boolean): void {
      for (const each of [...unreached, ...outages.keys()]) {
        if (!isRecipient(each)) remove(each)
      }
    },
    createFamily: (isRecipient: (recipient: string) => boolean): Family =>
      family(
        'gauge',
        'prosody_exporter_unreached_recipients',
        'Number of recipients that the last message did not reach, and for which Alertmanager does not repeat it.',
        // A delivery can still run when a reload removes its recipient.
        [{ labels: {}, value: [...unreached].filter(isRecipient).length }],
      ),
  }
}
