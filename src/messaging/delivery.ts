import type { AlertsConfig } from '../config/read-config.js'
import type { Log } from '../log/log.js'
import { family, type Family } from '../metrics/family.js'
import { toBareJid } from '../xmpp/jid.js'
import { realTime, type Schedule } from '../xmpp/schedule.js'
import type { Element } from '../xmpp/xml.js'
import { createDeliveredMessages } from './delivered-messages.js'
import {
  createDeliveryAttempts,
  type AlertMessage,
  type DeliveryAttemptOptions,
  type DeliveryResult,
} from './delivery-attempt.js'
import { createDeliveryReport } from './delivery-report.js'
import { createDeliveryTurns } from './delivery-turns.js'
import { readReceipt } from './message-stanza.js'
import type { MessagingClient } from './messaging-client.js'
import { createReceipts } from './receipts.js'
import { createRooms, type Rooms } from './rooms.js'
import { createSentMessages } from './sent-messages.js'

export type { AlertMessage, DeliveryResult } from './delivery-attempt.js'

export type Delivery = {
  /**
   * Delivers a message to all recipients that have not received it yet. Never rejects. A recipient that the message has
   * not reached within `timeoutMs` milliseconds is pending.
   */
  readonly deliver: (message: AlertMessage, timeoutMs: number) => Promise<DeliveryResult>
  /** Reads the recipients from the configuration. */
  readonly applyConfig: () => void
  /** Leaves all rooms until the next call of `applyConfig`. Without a stream, it leaves them after the next login. */
  readonly leaveRooms: () => void
  /** Leaves all rooms, but not after a later login. Call it before `client` uses another server. */
  readonly forgetRooms: () => void
  /** Call it after each login. */
  readonly onOnline: () => void
  /** Call it when the stream has ended. */
  readonly onLost: () => void
  /** Handles a stanza from the server. Returns whether it was about a delivery, or from a room. */
  readonly handle: (stanza: Element) => boolean
  readonly getFamilies: () => readonly Family[]
  /** Starts no more deliveries. When the running ones have ended, the exporter leaves the rooms. */
  readonly stop: () => void
  /** Resolves when no delivery runs any more. Call it when the connection has stopped. */
  readonly close: () => Promise<void>
}

export type DeliveryOptions = {
  readonly client: MessagingClient
  /** Returns the current configuration. A reload replaces it. */
  readonly config: () => AlertsConfig | undefined
  readonly log: Log
  readonly now?: () => number
  readonly schedule?: Schedule
}

/**
 * Delivers alerts to the people and rooms of the configuration. A recipient counts as delivered only if the server has
 * confirmed it: see `deliverToPeople` and `deliverToRoom`.
 */
export function createDelivery(options: DeliveryOptions): Delivery {
  const { client, config, log } = options
  const { now = () => performance.now(), schedule = realTime } = options
  const receipts = createReceipts({ now })
  const rooms = createRooms({ client, log, now, schedule })
  const report = createDeliveryReport({ config, log, now })
  const remembered = createDeliveredMessages({
    now,
    countRecipients: () => {
      const { to = [], rooms = [] } = config() ?? {}
      return to.length + rooms.length
    },
  })
  const turns = createDeliveryTurns(schedule)
  const parts = {
    client,
    config,
    sent: createSentMessages(),
    receipts,
    rooms,
    report,
    now,
    schedule,
  }
  const attempts = createDeliveryAttempts(parts)

  return {
    deliver(message, timeoutMs) {
      const { key, group = key, firingAlerts } = message
      const open = () => remembered.open(group, key, firingAlerts)
      const deadlineMs = now() + timeoutMs
      return remembered.share(group, key, () =>
        turns.run(timeoutMs, {
          onTurn: () => attempts.run(message, open(), deadlineMs - now()),
          onNoTurn: (reason) => attempts.fail(open(), reason),
        }),
      )
    },

    applyConfig() {
      const alerts = config()
      rooms.apply(alerts?.rooms ?? [], alerts?.nick ?? '')
      receipts.retain(alerts?.to ?? [])
      report.forgetOthers()
    },
    leaveRooms() {
      rooms.apply([], '')
    },
    forgetRooms() {
      rooms.apply([], '')
      rooms.leave()
    },
    onOnline: rooms.join,
    onLost() {
      rooms.lose()
      report.forgetOutages()
    },
    handle: (stanza) => handleStanza(stanza, parts),

    getFamilies: () => [
      ...report.createFamilies(receipts.countMissing()),
      ...(rooms.getAll().length > 0 ? [createRoomFamily(rooms)] : []),
    ],
    stop() {
      void turns.stop().then(rooms.leave)
    },
    close() {
      // The deliveries that wait for a room end now.
      rooms.leave()
      return turns.stop()
    },
  }
}

function handleStanza(
  stanza: Element,
  { config, sent, receipts, rooms }: DeliveryAttemptOptions,
): boolean {
  // Other parts of the exporter answer requests.
  if (stanza.getName() === 'iq') return false
  const isFromRoom = rooms.handle(stanza)
  if (stanza.getName() !== 'message') return isFromRoom
  if (sent.handle(stanza)) return true
  const from = toBareJid(stanza.attrs['from'] ?? '')
  const receipt = readReceipt(stanza)
  if (receipt === undefined || !config()?.to.includes(from)) return isFromRoom
  receipts.confirm(from, receipt)
  return stanza.getChild('body') === undefined
}

function createRoomFamily(rooms: Rooms): Family {
  const all = rooms.getAll()
  const joined = all.filter((room) => room.getState().phase === 'joined').length
  return family(
    'gauge',
    'prosody_exporter_rooms',
    'Number of rooms for alerts, by whether the exporter is in the room.',
    [
      { labels: { state: 'joined' }, value: joined },
      { labels: { state: 'not_joined' }, value: all.length - joined },
    ],
  )
}
