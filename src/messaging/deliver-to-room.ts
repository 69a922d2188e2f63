import type { Schedule } from '../xmpp/schedule.js'
import type { AddressedMessage, DeliveryChannel } from './deliver-to-people.js'
import {
  createOutcomeCollector,
  delivered,
  describeError,
  describeSendFailure,
  NOT_CONNECTED,
  pending,
  type DeliveryOutcome,
  type OutcomeCollector,
} from './delivery-outcome.js'
import { createMessage } from './message-stanza.js'
import { NO_ANSWER } from './room-problems.js'
import type { Room } from './room.js'

/** Errors of a room to a sender that is not in it. The last two mean that the room does not exist any more. */
const NOT_IN_ROOM = ['not-acceptable', 'item-not-found', 'gone']

export type RoomChannel = DeliveryChannel & {
  readonly now: () => number
  readonly schedule: Schedule
}

/**
 * Sends a message to a room, and waits until the room reflects it. Then the room has sent the message to all occupants
 * (XEP-0045 §7.4). If the exporter is joining the room, it waits for that first. It does not wait again for a server that has
 * not answered, because other alerts would be late.
 */
export async function deliverToRoom(
  channel: RoomChannel,
  room: Room,
  message: AddressedMessage,
  timeoutMs: number,
): Promise<DeliveryOutcome> {
  const { to } = message
  const { now, schedule } = channel
  const deadlineMs = now() + timeoutMs
  const isDecided = () => {
    const state = room.getState()
    return state.phase !== 'joining' || state.isSilent
  }
  room.joinEarly()
  await waitUntil(isDecided, { watch: room.watch, timeoutMs, schedule })
  const state = room.getState()
  if (state.phase === 'joined') {
    const visit = { room, occupant: state.occupant, timeoutMs: deadlineMs - now() }
    return await deliverToOccupants(channel, visit, message)
  }
  if (state.phase === 'joining') {
    const reason = 'the server of the room has not answered yet.'
    return pending(to, state.isSilent ? NO_ANSWER.reason : reason)
  }
  if (state.phase === 'offline') return pending(to, NOT_CONNECTED)
  const { reason, isPermanent } = state.problem
  return { to, result: isPermanent ? 'rejected' : 'pending', reason }
}

async function deliverToOccupants(
  channel: RoomChannel,
  visit: { room: Room; occupant: string; timeoutMs: number },
  message: AddressedMessage,
): Promise<DeliveryOutcome> {
  const { room, occupant, timeoutMs } = visit
  const { onLateOutcome, schedule } = channel
  const collector = createOutcomeCollector(onLateOutcome)
  write(channel, visit, message, collector)
  const isInRoom = () => {
    const state = room.getState()
    return state.phase === 'joined' && state.occupant === occupant
  }
  const watch = (listener: () => void) => {
    collector.watch(listener)
    return room.watch(listener)
  }
  const isDecided = () => collector.hasOutcome() || !isInRoom()
  await waitUntil(isDecided, { watch, timeoutMs, schedule })
  const reason = isInRoom()
    ? 'the room has not sent the message to its occupants yet.'
    : 'the exporter left the room before the room sent the message to its occupants.'
  return collector.conclude(pending(message.to, reason))
}

function write(
  { client, sent }: RoomChannel,
  { room, occupant }: { room: Room; occupant: string },
  message: AddressedMessage,
  collector: OutcomeCollector,
): void {
  const { to, id } = message
  sent.add(to, id, {
    onError: (error, from) => {
      // Another occupant can answer to a message with an error, but not from the address of the room.
      if (from !== to) return
      if (!NOT_IN_ROOM.includes(error.condition)) {
        collector.add(describeError(to, error, 'room'))
        return
      }
      collector.add(pending(to, 'the room answered that the exporter is not in it; joining again.'))
      // If the exporter has left the room since then, the room joins again after its pause.
      const state = room.getState()
      if (state.phase === 'joined' && state.occupant === occupant) room.join()
    },
    // Another occupant can send a message with the same id, but not from this address.
    onReflection: (from) => {
      if (from === occupant) collector.add(delivered(to))
    },
  })
  try {
    const from = `${client.address()}/exporter`
    client.send(createMessage({ ...message, from, type: 'groupchat' }))
  } catch (error) {
    collector.add(describeSendFailure(to, error))
  }
}

/** Waits until `isDone` returns true, or until the time has passed. `watch` calls its listener at each change. */
function waitUntil(
  isDone: () => boolean,
  options: {
    readonly watch: (listener: () => void) => () => void
    readonly timeoutMs: number
    readonly schedule: Schedule
  },
): Promise<void> {
  if (isDone()) return Promise.resolve()
  return new Promise((resolve) => {
    const end = () => {
      unwatch()
      cancel()
      resolve()
    }
    const unwatch = options.watch(() => {
      if (isDone()) end()
    })
    const cancel = options.schedule(options.timeoutMs, end)
  })
}
