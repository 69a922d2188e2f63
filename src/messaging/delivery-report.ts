import type { AlertsConfig } from '../config/read-config.js'
import { createProblemLog, limitRepeats, type ProblemLog } from '../log/log-limit.js'
import type { Log } from '../log/log.js'
import { addCount } from '../metrics/counts.js'
import { family, type Family } from '../metrics/family.js'
import type { DeliveryOutcome } from './delivery-outcome.js'

export type DeliveryReport = {
  /** Counts and logs the result of a message to one recipient. */
  add(outcome: DeliveryOutcome): void
  /** @param missingReceipts How many receipts did not arrive in time. */
  createFamilies(missingReceipts: number): readonly Family[]
  /** Forgets the problems of all recipients that the configuration no longer has. */
  forgetOthers(): void
}

/** Names a recipient in log lines, which must not contain the addresses of people and the names of rooms. */
function nameRecipient(to: string, alerts: AlertsConfig | undefined): string {
  const [person = -1, room = -1] = [alerts?.to.indexOf(to), alerts?.rooms.indexOf(to)]
  if (person >= 0) return `recipient ${person + 1} of alerts.to`
  if (room >= 0) return `room ${room + 1} of alerts.rooms`
  // A reload can remove a recipient while a message to it is being delivered.
  return 'a recipient that the configuration no longer has'
}

/** Counts the outcomes of all deliveries, and logs each problem of a recipient once, until it changes. */
export function createDeliveryReport({
  config,
  log,
  now,
}: {
  config: () => AlertsConfig | undefined
  log: Log
  now: () => number
}): DeliveryReport {
  const limitedLog = limitRepeats(log, now)
  const problems = new Map<string, ProblemLog>()
  const counts = new Map<string, number>()
  // The recipients that have rejected the last message.
  const rejecting = new Set<string>()

  const isConfigured = (recipient: string) => {
    const { to = [], rooms = [] } = config() ?? {}
    return to.includes(recipient) || rooms.includes(recipient)
  }

  function getProblemLog(to: string): ProblemLog {
    const existing = problems.get(to)
    if (existing) return existing
    const created = createProblemLog(log, now)
    problems.set(to, created)
    return created
  }

  function logRejection({ to, reason, condition }: DeliveryOutcome, recipient: string): void {
    // Without a condition, the reason is that the exporter is not in the room. This is logged already.
    if (condition === undefined) return
    getProblemLog(to).problem({
      kind: 'rejected',
      detail: condition,
      level: 'error',
      message: `Cannot deliver alerts to ${recipient}: ${reason}`,
      fields: {},
    })
  }

  return {
    add(outcome) {
      const { to, result, reason } = outcome
      const recipient = nameRecipient(to, config())
      addCount(counts, result === 'pending' ? 'failed' : result, 1)
      log.debug('delivery of an alert', { to, result, ...(reason && { reason }) })
      if (result === 'delivered') {
        rejecting.delete(to)
        problems.get(to)?.recovered(`Alerts reach ${recipient} again.`, {})
      } else if (result === 'rejected') {
        rejecting.add(to)
        logRejection(outcome, recipient)
      } else {
        const message = 'A message has not reached a recipient.'
        limitedLog.warn(message, { recipient, reason })
      }
    },
    createFamilies: (missingReceipts) => [
      family(
        'counter',
        'prosody_exporter_messages',
        'Number of messages to the recipients of alerts, by result.',
        [
          ...['delivered', 'failed', 'rejected'].map((result) => ({
            labels: { result },
            value: counts.get(result) ?? 0,
          })),
          { labels: { result: 'unconfirmed' }, value: missingReceipts },
        ],
      ),
      family(
        'gauge',
        'prosody_exporter_rejecting_recipients',
        'Number of recipients of alerts that rejected the last message.',
        [{ labels: {}, value: [...rejecting].filter(isConfigured).length }],
      ),
    ],
    forgetOthers() {
      for (const each of [...problems.keys(), ...rejecting]) {
        if (isConfigured(each)) continue
        problems.delete(each)
        rejecting.delete(each)
      }
    },
  }
}
