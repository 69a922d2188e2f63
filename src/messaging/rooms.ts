import type { Log } from '../log/log.js'
import { toBareJid } from '../xmpp/jid.js'
import type { Schedule } from '../xmpp/schedule.js'
import type { Element } from '../xmpp/xml.js'
import type { MessagingClient } from './messaging-client.js'
import { createRoom, type Room } from './room.js'

export type Rooms = {
  readonly get: (jid: string) => Room | undefined
  readonly getAll: () => readonly Room[]
  /** Joins new rooms, and leaves rooms that the configuration no longer has. A new nickname means to join again. */
  readonly apply: (jids: readonly string[], nick: string) => void
  /** Joins all rooms, and leaves those that `apply` could not leave without a stream. Call it after each login. */
  readonly join: () => void
  readonly lose: () => void
  /** Handles presence of a room. Returns whether the stanza comes from a room of the configuration. */
  readonly handle: (stanza: Element) => boolean
  /** Leaves all rooms for good. */
  readonly leave: () => void
}

/** Keeps the exporter in the rooms of the configuration. */
export function createRooms({
  client,
  log,
  now,
  schedule,
}: {
  client: MessagingClient
  log: Log
  now: () => number
  schedule: Schedule
}): Rooms {
  let rooms = new Map<string, Room>()
  // Removed rooms in which the exporter may still be.
  let removed: readonly Room[] = []
  let currentNick: string | undefined

  function create(jid: string, nick: string): Room {
    const label = () => `room ${[...rooms.keys()].indexOf(jid) + 1} of alerts.rooms`
    return createRoom({ jid, nick, client, log, label, now, schedule })
  }

  return {
    get: (jid) => rooms.get(jid),
    getAll: () => [...rooms.values()],

    apply(jids, nick) {
      const previous = rooms
      const isSameNick = nick === currentNick
      const kept = (jid: string) => (isSameNick ? previous.get(jid) : undefined)
      currentNick = nick
      rooms = new Map(jids.map((jid) => [jid, kept(jid) ?? create(jid, nick)]))
      const unused = [...previous].filter(([jid, room]) => rooms.get(jid) !== room)
      removed = [...removed, ...unused.map(([, room]) => room)].filter((room) => !room.leave())
      for (const [jid, room] of rooms) {
        if (previous.get(jid) !== room && client.isConnected()) room.join()
      }
    },
    join() {
      removed = removed.filter((room) => !room.leave())
      for (const room of rooms.values()) room.join()
    },
    lose() {
      for (const room of rooms.values()) room.lose()
    },
    handle(stanza) {
      const room = rooms.get(toBareJid(stanza.attrs['from'] ?? ''))
      if (stanza.getName() === 'presence') room?.handlePresence(stanza)
      return room !== undefined
    },
    leave() {
      for (const room of rooms.values()) room.leave()
      removed = []
    },
  }
}
