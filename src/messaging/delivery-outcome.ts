import { getErrorMessage, LinkError, type StanzaError } from '../errors.js'

/** The result of a message to one recipient. */
export type DeliveryOutcome = {
  readonly to: string
  /** `pending`: the recipient has not received the message, and the next attempt can succeed. */
  readonly result: 'delivered' | 'rejected' | 'pending'
  /** Why the recipient has not received the message, on one line without names; empty if it has received it. */
  readonly reason: string
  /** The error condition, if the recipient or its server answered to the message with an error. */
  readonly condition?: string
}

/**
 * Whether a repeated message would cause the same error. Only the error type `wait` means that the problem is temporary
 * (RFC 6120 §8.3.2).
 */
export function isPermanent({ type, condition }: StanzaError): boolean {
  // Prosody answers with `remote-server-not-found` and the type `cancel` also if it cannot connect to a server at the
  // moment.
  return type !== 'wait' && condition !== 'remote-server-not-found'
}

export const delivered = (to: string): DeliveryOutcome => ({ to, result: 'delivered', reason: '' })

export const pending = (to: string, reason: string): DeliveryOutcome => ({
  to,
  result: 'pending',
  reason,
})

/** Whether Alertmanager need not repeat a message. If everybody has rejected it, it would be lost without a repetition. */
export const isConfirmed = (result: {
  readonly delivered: readonly unknown[]
  readonly pending: readonly unknown[]
}) => result.delivered.length > 0 && result.pending.length === 0

type Reasons = Readonly<Record<string, string>>

const SERVER_REASONS: Reasons = {
  'policy-violation':
    'a rule of the server forbids the message, for example a limit or a firewall.',
  'remote-server-not-found':
    'Prosody cannot connect to the server of the recipient. Check the address, and the DNS records of both servers.',
  'remote-server-timeout': 'the server of the recipient does not answer.',
}

const PERSON_REASONS: Reasons = {
  ...SERVER_REASONS,
  // Prosody answers so for an unknown user, and for an offline user if it cannot store the message.
  'service-unavailable':
    'there is no such user, or the user is offline and Prosody cannot store messages. Correct alerts.to (a room belongs in alerts.rooms), or enable mod_offline in Prosody.',
  'item-not-found': 'there is no such user. Correct alerts.to.',
  forbidden: 'the recipient or the server blocks messages from the exporter. Remove the block.',
}

const ROOM_REASONS: Reasons = {
  ...SERVER_REASONS,
  forbidden:
    'the room is moderated. Grant voice to the exporter, for example by making it a member.',
}

/** Describes what it means that a person's server or a room answered to a message with an error. */
export function describeError(
  to: string,
  error: StanzaError,
  kind: 'person' | 'room',
): DeliveryOutcome {
  const { condition } = error
  const reasons = kind === 'person' ? PERSON_REASONS : ROOM_REASONS
  const reason = reasons[condition] ?? `the server answered ${condition}.`
  return { to, result: isPermanent(error) ? 'rejected' : 'pending', reason, condition }
}

/** The message of a LinkError can repeat a text of the server, so it is not shown to Alertmanager and not logged here. */
export const NOT_CONNECTED = 'the exporter is not connected to Prosody.'

/** Describes why a message could not be written to the stream. */
export function describeSendFailure(to: string, error: unknown): DeliveryOutcome {
  if (error instanceof LinkError) return pending(to, NOT_CONNECTED)
  const reason = getErrorMessage(error)
  // A TypeError means that XML forbids a character of the message. Each attempt would fail.
  return error instanceof TypeError
    ? { to, result: 'rejected', reason, condition: 'forbidden-character' }
    : pending(to, reason)
}

export type OutcomeCollector = ReturnType<typeof createOutcomeCollector>

/**
 * Collects the outcome of a message, which events determine. The first outcome counts. After the end of the delivery,
 * `onLateOutcome` gets each outcome.
 */
export function createOutcomeCollector(onLateOutcome: (outcome: DeliveryOutcome) => void) {
  let outcome: DeliveryOutcome | undefined
  let isConcluded = false
  let listener = () => {}
  return {
    add(found: DeliveryOutcome): void {
      if (isConcluded) onLateOutcome(found)
      else outcome ??= found
      listener()
    },
    hasOutcome: () => outcome !== undefined,
    /** Calls a function after each outcome. */
    watch(run: () => void): void {
      listener = run
    },
    /** Ends the delivery. Returns its outcome, or `otherwise` if there is none. */
    conclude(otherwise: DeliveryOutcome): DeliveryOutcome {
      isConcluded = true
      return outcome ?? otherwise
    },
  }
}
