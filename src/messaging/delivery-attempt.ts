import type { AlertsConfig } from '../config/read-config.js'
import { deliverToPeople } from './deliver-to-people.js'
import { deliverToRoom, type RoomChannel } from './deliver-to-room.js'
import type { RememberedMessage } from './delivered-messages.js'
import { delivered, isConfirmed, pending, type DeliveryOutcome } from './delivery-outcome.js'
import type { DeliveryReport } from './delivery-report.js'
import type { Receipts } from './receipts.js'
import type { Rooms } from './rooms.js'

/** A text that all recipients of the configuration should receive. */
export type AlertMessage = {
  /** What the message says. A message with the same group and key is a repetition of this one. */
  readonly key: string
  /** The group of alerts that the message is about. Default: the key. */
  readonly group?: string
  readonly text: string
  /** Identifies the alerts in the message, if all of them are firing. */
  readonly firingAlerts?: string | undefined
  /**
   * Identifies alerts. If they are the firing alerts of the previous message of the group, this message replaces that one
   * (XEP-0308), for recipients that have received it.
   */
  readonly corrects?: string | undefined
}

export type DeliveryResult = {
  /** The recipients that have received the message, in this attempt or in an earlier one. */
  readonly delivered: readonly string[]
  /**
   * The recipients for which Alertmanager should not repeat the message, if another recipient has it: those that rejected
   * it, in this attempt or an earlier one, and those that could not be reached for a long time.
   */
  readonly rejected: readonly { readonly to: string; readonly reason: string }[]
  /** The recipients that another attempt can reach. */
  readonly pending: readonly { readonly to: string; readonly reason: string }[]
}

export type DeliveryAttempts = {
  /**
   * Makes one attempt to deliver a message to all recipients that have neither received nor rejected it yet. If no
   * recipient has it, all recipients are tried again.
   */
  run(message: AlertMessage, memory: RememberedMessage, timeoutMs: number): Promise<DeliveryResult>
  /** Returns the result of an attempt that cannot be made for this reason. */
  fail(memory: RememberedMessage, reason: string): DeliveryResult
}

export type DeliveryAttemptOptions = Omit<RoomChannel, 'onLateOutcome'> & {
  readonly config: () => AlertsConfig | undefined
  readonly receipts: Receipts
  readonly rooms: Rooms
  readonly report: DeliveryReport
}

const NO_RECIPIENTS: DeliveryResult = {
  delivered: [],
  rejected: [],
  pending: [{ to: 'alerts.to', reason: 'the configuration has no recipients of alerts.' }],
}

export function createDeliveryAttempts(options: DeliveryAttemptOptions): DeliveryAttempts {
  const { config, receipts, rooms, report, ...parts } = options

  /** Stores an outcome in the memory of the message. Returns the outcome. */
  function store(
    outcome: DeliveryOutcome,
    memory: RememberedMessage,
    isLateError = false,
  ): DeliveryOutcome {
    const { to, result, reason } = outcome
    const { received, rejected } = memory
    const isRepeatedRejection = result === 'rejected' && rejected.get(to) === reason
    received.delete(to)
    rejected.delete(to)
    if (result === 'delivered') received.add(to)
    else receipts.cancel(to, memory.idFor(to))
    if (result === 'rejected') rejected.set(to, reason)
    if (isLateError) report.addLateError(outcome)
    else if (!isRepeatedRejection) report.add(outcome)
    return outcome
  }

  /** Ends an attempt with these outcomes for all recipients. */
  function conclude(
    outcomes: readonly DeliveryOutcome[],
    memory: RememberedMessage,
  ): DeliveryResult {
    const result = summarize(outcomes)
    if (isConfirmed(result)) memory.isConfirmed = true
    return result
  }

  return {
    async run({ group, text, corrects }, memory, timeoutMs) {
      const { hasRecipients, settled, people, missingRooms } = divideRecipients(config(), memory)
      if (!hasRecipients) return NO_RECIPIENTS
      const corrected =
        corrects !== undefined && memory.previous?.firingAlerts === corrects
          ? memory.previous
          : undefined
      const address = (to: string) => ({
        to,
        id: memory.idFor(to),
        text,
        replaces: corrected?.received.has(to) ? corrected.idFor(to) : undefined,
      })
      const channel: RoomChannel = {
        ...parts,
        onLateOutcome: (outcome) => {
          // A late error can only take back a delivery, and a late reflection can only complete one.
          const isDelivered = memory.received.has(outcome.to)
          if (isDelivered !== (outcome.result === 'delivered')) store(outcome, memory, isDelivered)
        },
      }
      for (const to of people) receipts.expect(to, memory.idFor(to))
      const sendToPeople = async () => {
        const outcomes = await deliverToPeople(channel, people.map(address), timeoutMs)
        return outcomes.map((outcome) => store(outcome, memory))
      }
      const sendToRoom = async (jid: string) => {
        const room = rooms.get(jid)
        const outcome = room
          ? await deliverToRoom(channel, room, address(jid), timeoutMs)
          : pending(jid, 'the configuration is being reloaded.')
        return [store(outcome, memory)]
      }
      const attempts = await Promise.all([sendToPeople(), ...missingRooms.map(sendToRoom)])
      const outcomes = [...settled, ...attempts.flat()]
      // A test message has no group, and Alertmanager does not repeat it.
      return conclude(group === undefined ? outcomes : giveUp(outcomes, options), memory)
    },

    fail(memory, reason) {
      const { settled, people, missingRooms } = divideRecipients(config(), memory)
      const missing = [...people, ...missingRooms]
      const outcomes = missing.map((to) => store(pending(to, reason), memory))
      return conclude([...settled, ...outcomes], memory)
    },
  }
}

/** Splits the recipients of the configuration into those for which the outcome is known, and the others. */
function divideRecipients(
  { to = [], rooms = [] }: Partial<AlertsConfig> = {},
  { received, rejected }: RememberedMessage,
) {
  const already = [...to, ...rooms].filter((each) => received.has(each))
  const isSettled = (each: string) =>
    received.has(each) || (already.length > 0 && rejected.has(each))
  const settled = [...to, ...rooms].filter(isSettled).map((each): DeliveryOutcome => {
    const reason = rejected.get(each)
    return reason === undefined ? delivered(each) : { to: each, result: 'rejected', reason }
  })
  return {
    hasRecipients: to.length + rooms.length > 0,
    settled,
    people: to.filter((each) => !isSettled(each)),
    missingRooms: rooms.filter((each) => !isSettled(each)),
  }
}

/** Gives up recipients that could not be reached for a long time, if another recipient has the message. */
function giveUp(
  outcomes: readonly DeliveryOutcome[],
  { client, report }: DeliveryAttemptOptions,
): readonly DeliveryOutcome[] {
  const isReceived = outcomes.some(({ result }) => result === 'delivered')
  // Without a stream, no recipient can receive anything, so the missing confirmation does no harm.
  if (!isReceived || !client.isConnected()) return outcomes
  return outcomes.map((outcome) =>
    outcome.result === 'pending' && report.shouldGiveUp(outcome)
      ? { ...outcome, result: 'rejected' }
      : outcome,
  )
}

function summarize(outcomes: readonly DeliveryOutcome[]): DeliveryResult {
  const select = (result: DeliveryOutcome['result']) =>
    outcomes.filter((each) => each.result === result).map(({ to, reason }) => ({ to, reason }))
  return {
    delivered: select('delivered').map(({ to }) => to),
    rejected: select('rejected'),
    pending: select('pending'),
  }
}
