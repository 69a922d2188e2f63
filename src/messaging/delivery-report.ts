import type { AlertsConfig } from '../config/read-config.js'
import { createProblemLog, limitRepeats, type ProblemLog } from '../log/log-limit.js'
import type { Log } from '../log/log.js'
import { addCount } from '../metrics/counts.js'
import { family, type Family } from '../metrics/family.js'
import type { DeliveryOutcome } from './delivery-outcome.js'
import { createUnreachedRecipients, PATIENCE_MS } from './unreached-recipients.js'

export type DeliveryReport = {
  /** Counts and logs the result of a message to one recipient. */
  add(outcome: DeliveryOutcome): void
  /** Counts and logs an error that takes back a delivery. Alertmanager may not repeat the message. */
  addLateError(outcome: DeliveryOutcome): void
  /**
   * Call it after an attempt that has not reached this recipient, although another recipient has the message. Returns
   * whether Alertmanager should no longer repeat the message for this recipient.
   */
  shouldGiveUp(outcome: DeliveryOutcome): boolean
  /** @param missingReceipts How many receipts did not arrive in time. */
  createFamilies(missingReceipts: number): readonly Family[]
  /** Call it when the stream has ended. */
  forgetOutages(): void
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

type ReportOptions = {
  readonly config: () => AlertsConfig | undefined
  readonly log: Log
  readonly now: () => number
}

/** Counts the outcomes of all deliveries, and logs each problem of a recipient once, until it changes. */
export function createDeliveryReport(options: ReportOptions): DeliveryReport {
  const { config, log, now } = options
  const recipientLog = createRecipientLog(options)
  const counts = new Map<string, number>()
  const unreached = createUnreachedRecipients(now)

  const isConfigured = (recipient: string) => {
    const { to = [], rooms = [] } = config() ?? {}
    return to.includes(recipient) || rooms.includes(recipient)
  }

  function add(outcome: DeliveryOutcome): void {
    const { to, result, reason } = outcome
    addCount(counts, result === 'pending' ? 'failed' : result, 1)
    log.debug('delivery of an alert', { to, result, ...(reason && { reason }) })
    if (result === 'delivered') unreached.remove(to)
    if (result === 'rejected') unreached.add(to)
    recipientLog.add(outcome)
  }

  return {
    add,
    addLateError(outcome) {
      add(outcome)
      unreached.add(outcome.to)
    },
    shouldGiveUp(outcome) {
      const isLost = unreached.shouldGiveUp(outcome.to)
      if (isLost) recipientLog.addLost(outcome)
      return isLost
    },
    forgetOutages() {
      unreached.forgetOutages()
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
      unreached.createFamily(isConfigured),
    ],
    forgetOthers() {
      recipientLog.retain(isConfigured)
      unreached.retain(isConfigured)
    },
  }
}

/** Logs the problems of recipients, without their addresses. */
function createRecipientLog({ config, log, now }: ReportOptions) {
  const limitedLog = limitRepeats(log, now)
  const problems = new Map<string, ProblemLog>()

  function getProblemLog(to: string): ProblemLog {
    const existing = problems.get(to)
    if (existing) return existing
    const created = createProblemLog(log, now)
    problems.set(to, created)
    return created
  }

  const logError = (to: string, kind: string, message: string, detail = '') =>
    getProblemLog(to).problem({ kind, detail, level: 'error', message, fields: {} })

  return {
    add({ to, result, reason, condition }: DeliveryOutcome): void {
      const recipient = nameRecipient(to, config())
      if (result === 'delivered') {
        problems.get(to)?.recovered(`Alerts reach ${recipient} again.`, {})
      } else if (result === 'pending') {
        limitedLog.warn('A message has not reached a recipient.', { recipient, reason })
      } else if (condition !== undefined) {
        // Without a condition, the reason is that the exporter is not in the room. This is logged already.
        logError(to, 'rejected', `Cannot deliver alerts to ${recipient}: ${reason}`, condition)
      }
    },
    /** Logs that Alertmanager no longer repeats messages for a recipient. */
    addLost({ to, reason }: DeliveryOutcome): void {
      const recipient = nameRecipient(to, config())
      const minutes = PATIENCE_MS / 60_000
      logError(
        to,
        'unreached',
        `Alerts have not reached ${recipient} for ${minutes} minutes, so Alertmanager no longer repeats them for it: ${reason}`,
      )
    },
    retain(isRecipient: (recipient: string) => boolean): void {
      for (const each of problems.keys()) if (!isRecipient(each)) problems.delete(each)
    },
  }
}
