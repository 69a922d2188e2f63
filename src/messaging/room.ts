import { getErrorMessage, LinkError } from '../errors.js'
import { createProblemLog } from '../log/log-limit.js'
import type { Log } from '../log/log.js'
import type { Schedule } from '../xmpp/schedule.js'
import type { Element } from '../xmpp/xml.js'
import { findRoom } from './find-room.js'
import type { MessagingClient } from './messaging-client.js'
import { createJoin, createLeave, readRoomEvent, type RoomEvent } from './room-presence.js'
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
  /** `isSilent` means that the server of the room did not answer to the attempt before this one. */
  | { readonly phase: 'joining'; readonly isSilent: boolean }
  | { readonly phase: 'outside'; readonly problem: RoomProblem }

export type Room = {
  readonly jid: string
  readonly getState: () => RoomState
  /** Calls `listener` at each change of the state, until the returned function is called. */
  readonly watch: (listener: () => void) => () => void
  /** Joins the room. Call it after each login, and when the room answers that the exporter is not in it. */
  readonly join: () => void
  /** Joins the room earlier than planned, but not soon after the last attempt. */
  readonly joinEarly: () => void
  /** Call it when the stream has ended. */
  readonly lose: () => void
  /** Takes a presence stanza from the room. */
  readonly handlePresence: (presence: Element) => void
  /**
   * Leaves the room for good. Returns false if the exporter is not connected, and may still be in the room. Then call it
   * again after the next login.
   */
  readonly leave: () => boolean
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
  const report = createRoomLog(options)
  const { enter, getState, watch } = createRoomStates(schedule)
  let isLeft = false
  // A room keeps its occupants when the stream of their component ends.
  let mayBeInside = false
  let failures = 0
  let attempt = 0
  let triedAtMs = -Infinity

  const getAddresses = () => ({ from: `${client.address()}/exporter`, occupant: `${jid}/${nick}` })

  function join(): void {
    if (isLeft) return
    const current = ++attempt
    triedAtMs = now()
    const giveUp = () => {
      fail(NO_ANSWER)
    }
    enter({ phase: 'joining', isSilent: isSilent(getState()) }, { ms: JOIN_MS, run: giveUp })
    tryToJoin(current).catch((error: unknown) => {
      log.debug('cannot join a room', { room: jid, reason: getErrorMessage(error) })
      if (attempt !== current) return
      if (error instanceof LinkError) lose()
      else fail(NO_ANSWER)
    })
  }

  async function tryToJoin(current: number): Promise<void> {
    const addresses = getAddresses()
    const problem = await findRoom(client, { from: addresses.from, room: jid, timeoutMs: JOIN_MS })
    if (attempt !== current || getState().phase !== 'joining') return
    if (problem) fail(problem)
    else {
      client.send(createJoin(addresses, formatJoinId(current)))
      mayBeInside = true
    }
  }

  function fail(problem: RoomProblem): void {
    const pauseMs = Math.min(LONGEST_PAUSE_MS, FIRST_PAUSE_MS * 2 ** Math.min(failures, 10))
    failures++
    // After a silent attempt to join, the room may let the exporter in later.
    if (problem !== NO_ANSWER) mayBeInside = false
    report.problem(problem)
    enter({ phase: 'outside', problem }, { ms: pauseMs, run: join })
  }

  function lose(): void {
    attempt++
    if (getState().phase !== 'offline') enter({ phase: 'offline' })
  }

  function succeed(occupant: string): void {
    report.joined()
    const settle = () => {
      failures = 0
      report.steady()
    }
    enter({ phase: 'joined', occupant }, { ms: STEADY_MS, run: settle })
  }

  return {
    jid,
    join,
    lose,
    getState,
    watch,
    joinEarly() {
      if (getState().phase === 'outside' && now() - triedAtMs >= EARLY_PAUSE_MS) join()
    },
    handlePresence(presence) {
      const change = decide(readRoomEvent(presence), getState(), attempt, client)
      if (change?.problem === NEW_ROOM) sendLeave(options, getAddresses)
      if (change?.problem) fail(change.problem)
      else if (change?.occupant !== undefined) succeed(change.occupant)
    },
    leave() {
      isLeft = true
      if (mayBeInside && sendLeave(options, getAddresses)) mayBeInside = false
      lose()
      return !mayBeInside
    },
  }
}

/** Returns whether the server of the room has not answered to the last attempt to join. */
function isSilent(state: RoomState): boolean {
  if (state.phase === 'joining') return state.isSilent
  return state.phase === 'outside' && state.problem === NO_ANSWER
}

/** Returns whether the presence that leaves the room was sent. */
function sendLeave(
  { jid, client, log }: RoomOptions,
  getAddresses: () => Parameters<typeof createLeave>[0],
): boolean {
  try {
    client.send(createLeave(getAddresses()))
    return true
  } catch (error) {
    log.debug('cannot leave a room', { room: jid, reason: getErrorMessage(error) })
    return false
  }
}

/** Creates the state of a room. A state can have a timer, which the next state cancels. */
function createRoomStates(schedule: Schedule) {
  const listeners = new Set<() => void>()
  let state: RoomState = { phase: 'offline' }
  let cancelTimer = () => {}
  return {
    getState: () => state,
    enter: (next: RoomState, timer?: { ms: number; run: () => void }): void => {
      cancelTimer()
      cancelTimer = timer ? schedule(timer.ms, timer.run) : () => {}
      state = next
      for (const listener of [...listeners]) listener()
    },
    watch: (listener: () => void) => {
      listeners.add(listener)
      return () => listeners.delete(listener)
    },
  }
}

type RoomChange = { readonly problem?: RoomProblem; readonly occupant?: string }

/** Returns what an event in the room changes: the exporter is not in the room, or is in it with a new address. */
function decide(
  event: RoomEvent,
  state: RoomState,
  attempt: number,
  client: MessagingClient,
): RoomChange | undefined {
  const isJoining = state.phase === 'joining'
  const occupant = state.phase === 'joined' ? state.occupant : undefined
  if (event.kind === 'error' && isJoining && isAnswerTo(attempt, event.id)) {
    return { problem: describeJoinError(event.error, { address: client.address() }) }
  }
  // While the exporter joins, such an event is about an earlier visit, and changes nothing.
  if (event.kind === 'gone' && event.occupant === occupant) {
    return { problem: describeRemoval(event.removal, { address: client.address() }) }
  }
  if (event.kind !== 'self' || event.occupant === occupant) return undefined
  if (isJoining && event.isNewRoom) return { problem: NEW_ROOM }
  return isJoining || occupant !== undefined ? { occupant: event.occupant } : undefined
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
