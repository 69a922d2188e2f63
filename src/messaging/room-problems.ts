import type { StanzaError } from '../errors.js'
import { isPermanent } from './delivery-outcome.js'
import type { Removal } from './room-presence.js'

/** Why the exporter is not in a room. */
export type RoomProblem = {
  /** An error condition, or a word of this file for an event that is no error, such as `kicked`. */
  readonly condition: string
  /** Whether only a person can solve the problem. */
  readonly isPermanent: boolean
  /** The reason and the remedy, without the name of the room. */
  readonly reason: string
}

type Address = { readonly address: string }

/** The errors of an attempt to join. @see XEP-0045 §7.2 */
const JOIN_ERRORS: Readonly<Record<string, (options: Address) => string>> = {
  conflict: () => 'the nickname is taken in this room. Set another alerts.nick.',
  'not-authorized': ({ address }) =>
    `the room has a password. Remove the password; to restrict the room, make it members-only and ${address} a member.`,
  'registration-required': ({ address }) =>
    `the room is members-only. Make ${address} a member of the room.`,
  forbidden: ({ address }) =>
    `the room has banned the exporter. Remove ${address} from its ban list.`,
  'item-not-found': () =>
    'the room does not exist, or its owner has not yet saved its configuration. Create the room with an XMPP client and save its configuration, or correct alerts.rooms.',
  gone: () => 'the room was destroyed. Correct alerts.rooms.',
  'service-unavailable': () => 'the room is full. Raise its maximum number of occupants.',
  'not-acceptable': ({ address }) =>
    `the room accepts only a registered nickname. Register a nickname for ${address}, and set it as alerts.nick.`,
  'jid-malformed': () => 'the room does not accept the nickname. Set another alerts.nick.',
  'not-allowed': () =>
    'the server does not let the exporter join. Create the room with an XMPP client, or correct alerts.rooms.',
  'remote-server-not-found': () =>
    'Prosody cannot connect to the server of the room. Check alerts.rooms, and the DNS records of both servers.',
  'remote-server-timeout': () => 'the server of the room does not answer.',
}

export function describeJoinError(error: StanzaError, options: Address): RoomProblem {
  const { condition } = error
  const reason =
    JOIN_ERRORS[condition]?.(options) ??
    `the server answered ${condition} when the exporter joined.`
  return { condition, isPermanent: isPermanent(error), reason }
}

const temporary = (condition: string, reason: string): RoomProblem => ({
  condition,
  isPermanent: false,
  reason,
})
const permanent = (condition: string, reason: string): RoomProblem => ({
  condition,
  isPermanent: true,
  reason,
})

export const NO_ANSWER = temporary('no-answer', 'the server of the room does not answer.')
export const NOT_A_ROOM = permanent(
  'not-a-room',
  'the address is not a room. Correct alerts.rooms.',
)
/** The room did not exist, and joining created it (status 201). The exporter has left it, so the room is gone again. */
export const NEW_ROOM = permanent(
  'item-not-found',
  'the room does not exist. Create the room with an XMPP client and save its configuration, or correct alerts.rooms.',
)

const REMOVALS: Readonly<Record<string, (options: Address) => RoomProblem>> = {
  '301': ({ address }) =>
    permanent('banned', `the room has banned the exporter. Remove ${address} from its ban list.`),
  '307': () =>
    temporary('kicked', 'a moderator has removed the exporter from the room; it will join again.'),
  '321': ({ address }) =>
    permanent('not-a-member', `the room is members-only. Make ${address} a member of the room.`),
  '322': ({ address }) =>
    permanent(
      'members-only',
      `the room became members-only. Make ${address} a member of the room.`,
    ),
  '332': () => temporary('shutdown', 'the server of the room is shutting down.'),
}

/** Describes why the room removed the exporter. */
export function describeRemoval({ codes, isDestroyed }: Removal, options: Address): RoomProblem {
  if (isDestroyed) return permanent('destroyed', 'the room was destroyed. Correct alerts.rooms.')
  const known = codes.find((code) => REMOVALS[code])
  return known === undefined
    ? temporary('removed', 'the room has removed the exporter; it will join again.')
    : REMOVALS[known]!(options)
}
