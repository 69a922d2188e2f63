import { getErrorMessage, LinkError } from '../errors.js'
import { createProblemLog } from '../log/log-limit.js'
import type { Log } from '../log/log.js'
import type { Schedule } from '../xmpp/schedule.js'
import type { Element } from '../xmpp/xml.js'
import { findRoom } from './find-room.js'
import type { MessagingClient } from './messaging-client.js'
import { createJoin, createLeave, readRoomEvent } from './room-presence.js'
import {
  describeJoinError,
  describeRemoval,
  NEW_ROOM,
  NO_ANSWER,
  type RoomProblem,
} from './room-problems.js'

const JOIN_MS = 30_000
const FIRST_PAUSE_MS = 5000
const LONGEST_PAUSE_MS = 600_000
// A message that waits for the room causes an attempt to join only if the last attempt began longer ago than this.
const EARLY_PAUSE_MS = 30_000
// After this time in the room, an earlier problem is over, and the next pause is short again.
const STEADY_MS = 60_000

export type RoomState =
  /** `occupant` is the address of the exporter in the room. */
  | { readonly phase: 'joined'; readonly occupant: string }
  | { readonly phase: 'offline' }
  | { readonly phase: 'joining' }
  | { readonly phase: 'outside'; readonly problem: RoomProblem }

export type Room = {
  readonly jid: string
  getState(): RoomState
  /** Calls `listener` at each change of the state, until the returned function is called. */
  watch(listener: () => void): () => void
  /** Joins the room. Call it after each login, and when the room answers that the exporter is not in it. */
  join(): void
  /** Joins the room earlier than planned, but not soon after the last attempt. */
  joinEarly(): void
  /** Call it when the stream has ended. */
  lose(): void
  /** Takes a presence stanza from the room. */
  handlePresence(presence: Element): void
  /** Leaves the room for good. */
  leave(): void
}

export type RoomOptions = {
  readonly jid: string
  readonly nick: string
  readonly client: MessagingClient
  readonly log: Log
  /** Returns how log lines name the room. */
  readonly label: () => string
  readonly now: () => number
  readonly schedule: Schedule
}

/**
 * Joins one room as an ordinary occupant, and joins it again when it removes the exporter, after growing pauses.
 *
 * The exporter first asks whether the room exists, because joining a room that does not exist would create it. A server
 * with `muc_room_default_persistent` would even keep the empty room. If joining creates the room all the same, because it
 * was destroyed at this moment, the exporter leaves it immediately, and the operator has to create it.
 *
 * @see XEP-0045, version 1.34
 */
export function createRoom(options: RoomOptions): Room {
  const { jid, nick, client, log, now, schedule } = options
  const listeners = new Set<() => void>()
  const report = createRoomLog(options)
  let state: RoomState = { phase: 'offline' }
  let isLeft = false
  let failures = 0
  let attempt = 0
  let triedAtMs = -Infinity
  let cancelTimer = () => {}

  const getAddresses = () => ({ from: `${client.address()}/exporter`, occupant: `${jid}/${nick}` })

  function enter(next: RoomState, timer?: { ms: number; run: () => void }): void {
    cancelTimer()
    cancelTimer = timer ? schedule(timer.ms, timer.run) : () => {}
    state = next
    for (const listener of [...listeners]) listener()
  }

  function join(): void {
    if (isLeft) return
    const current = ++attempt
    triedAtMs = now()
    enter(
      { phase: 'joining' },
      {
        ms: JOIN_MS,
        run: () => {
          fail(NO_ANSWER)
        },
      },
    )
    tryToJoin(current).catch((error: unknown) => {
      log.debug('cannot join a room', { room: jid, reason: getErrorMessage(error) })
      if (attempt !== current) return
      if (error instanceof LinkError) lose()
      else fail(NO_ANSWER)
    })
  }

  async function tryToJoin(current: number): Promise<void> {
    const addresses = getAddresses()
    const { from } = addresses
    const problem = await findRoom(client, { from, room: jid, timeoutMs: JOIN_MS })
    if (attempt !== current || state.phase !== 'joining') return
    if (problem) fail(problem)
    else client.send(createJoin(addresses, formatJoinId(current)))
  }

  function fail(problem: RoomProblem): void {
    const pauseMs = Math.min(LONGEST_PAUSE_MS, FIRST_PAUSE_MS * 2 ** Math.min(failures, 10))
    failures++
    report.problem(problem)
    enter({ phase: 'outside', problem }, { ms: pauseMs, run: join })
  }

  function lose(): void {
    attempt++
    if (state.phase !== 'offline') enter({ phase: 'offline' })
  }

  function succeed(occupant: string): void {
    report.joined()
    const settle = () => {
      failures = 0
      report.steady()
    }
    enter({ phase: 'joined', occupant }, { ms: STEADY_MS, run: settle })
  }

  function sendLeave(): void {
    try {
      client.send(createLeave(getAddresses()))
    } catch (error) {
      log.debug('cannot leave a room', { room: jid, reason: getErrorMessage(error) })
    }
  }

  return {
    jid,
    join,
    lose,
    getState: () => state,
    watch(listener) {
      listeners.add(listener)
      return () => listeners.delete(listener)
    },
    joinEarly() {
      if (state.phase === 'outside' && now() - triedAtMs >= EARLY_PAUSE_MS) join()
    },
    handlePresence(presence) {
      const event = readRoomEvent(presence)
      const isJoining = state.phase === 'joining'
      const occupant = state.phase === 'joined' ? state.occupant : undefined
      if (event.kind === 'error' && isJoining && isAnswerTo(attempt, event.id)) {
        fail(describeJoinError(event.error, { address: client.address() }))
      } else if (event.kind === 'gone' && event.occupant === occupant) {
        // While the exporter joins, such a presence is about an earlier visit, and does not get here.
        fail(describeRemoval(event.removal, { address: client.address() }))
      } else if (event.kind === 'self' && isJoining && event.isNewRoom) {
        sendLeave()
        fail(NEW_ROOM)
      } else if (event.kind === 'self' && (isJoining || occupant !== undefined)) {
        if (event.occupant !== occupant) succeed(event.occupant)
      }
    },
    leave() {
      if (isLeft) return
      isLeft = true
      if (state.phase === 'joined' || state.phase === 'joining') sendLeave()
      lose()
    },
  }
}

const formatJoinId = (attempt: number) => `join-${attempt}`

/** A server copies the id of the presence into the error (RFC 6120 §8.3.1). Some do not. */
const isAnswerTo = (attempt: number, id: string | undefined) =>
  id === undefined || id === formatJoinId(attempt)

/** Logs what happens with a room, without its name and without a flood of lines. */
function createRoomLog({ jid, log, label, now }: RoomOptions) {
  const problems = createProblemLog(log, now)
  let hasBegun = false
  return {
    problem({ condition, reason, isPermanent }: RoomProblem): void {
      hasBegun = true
      const isLogged = problems.problem({
        kind: 'room',
        detail: condition,
        level: isPermanent ? 'error' : 'warn',
        message: `The exporter is not in ${label()}: ${reason}`,
        fields: {},
      })
      if (!isLogged) log.debug('still not in a room', { room: jid, condition })
    },
    joined(): void {
      log.debug('joined a room', { room: jid })
      if (!hasBegun) log.info(`The exporter joined ${label()}.`)
      hasBegun = true
    },
    /** The exporter has been in the room for some time. */
    steady(): void {
      problems.recovered(`The exporter is in ${label()} again.`, {})
    },
  }
}
