import type { Hono } from 'hono'
import type { MessagingConfig } from '../config/read-config.js'
import { getErrorMessage } from '../errors.js'
import type { Log } from '../log/log.js'
import type { Family } from '../metrics/family.js'
import type { MonitoredServer } from '../servers/monitored-server.js'
import type { Element } from '../xmpp/xml.js'
import { addAlertsRoute } from './alerts-route.js'
import { createChat } from './chat.js'
import { createDelivery, type DeliveryResult } from './delivery.js'
import { createMessagingClient } from './messaging-client.js'
import { createNotificationCounts } from './notification-counts.js'
import { formatNotification } from './notification-text.js'
import { getAlertsKey, getGroupKey, getNotificationKey, type Notification } from './notification.js'
import { sendTestMessage } from './test-message.js'

// Alertmanager waits for a response for the time of group_interval, but at least 10 s. A retry joins a delivery that
// still runs.
const DELIVERY_MS = 20_000

export type MessagingOptions = {
  /** Returns the current configuration. A reload replaces it. */
  readonly config: () => MessagingConfig
  readonly log: Log
  readonly findServer: (name: string) => MonitoredServer | undefined
  /** Returns the names of all servers in the configuration. */
  readonly serverNames: () => readonly string[]
}

/** The part of the exporter that sends alerts as XMPP messages, and answers questions in chat. */
export type Messaging = {
  readonly addRoutes: (app: Hono) => void
  /** Called at the start, and after each reload of the configuration. */
  readonly applyConfig: () => void
  readonly onOnline: (server: string) => void
  /** Called before the stream to the server ends because of a reload. */
  readonly onStopping: (server: string) => void
  readonly onLost: (server: string) => void
  /** Returns whether this part of the exporter has handled the stanza. Never throws. */
  readonly onStanza: (server: string, stanza: Element) => boolean
  /**
   * Sends a test message to all recipients of alerts. Returns `undefined` if the exporter sends no alerts through this
   * server.
   */
  readonly sendTest: (server: string, deadlineMs: number) => Promise<DeliveryResult> | undefined
  readonly getFamilies: () => readonly Family[]
  readonly stop: () => void
  readonly close: () => Promise<void>
}

export function createMessaging(options: MessagingOptions): Messaging {
  const { config, log, findServer, serverNames } = options
  const find = (name: string | undefined) => (name === undefined ? undefined : findServer(name))
  const chatClient = createMessagingClient(() => find(config().chat?.server)?.connection)
  const alerts = config().alerts ? createAlerts({ config, log, find }) : undefined
  const chat = createChat({ config, client: chatClient, findServer, serverNames, log })
  const isChatServer = (server: string) => server === config().chat?.server

  return {
    addRoutes(app) {
      alerts?.addRoute(app)
    },
    applyConfig() {
      if (alerts) alerts.applyConfig()
      else if (config().alerts) log.warn('Restart the exporter to turn on alerts: a reload cannot.')
      chat.applyConfig()
    },
    onOnline(server) {
      if (alerts?.isOf(server)) guard(log, alerts.delivery.onOnline)
      if (isChatServer(server)) guard(log, chat.onOnline)
    },
    onStopping(server) {
      // The next connection can have another domain, from which the exporter cannot leave these rooms.
      if (alerts?.isOf(server)) guard(log, alerts.delivery.leaveRooms)
    },
    onLost(server) {
      if (alerts?.isOf(server)) guard(log, alerts.delivery.onLost)
    },
    onStanza: (server, stanza) =>
      (alerts?.isOf(server) === true &&
        guard(log, () => alerts.delivery.handle(stanza)) === true) ||
      (isChatServer(server) && guard(log, () => chat.handle(stanza)) === true),
    sendTest: (server, deadlineMs) =>
      config().alerts && alerts?.isOf(server) ? alerts.sendTest(deadlineMs) : undefined,
    getFamilies: () => alerts?.getFamilies() ?? [],
    stop() {
      chat.stop()
      alerts?.delivery.stop()
    },
    async close() {
      await alerts?.delivery.close()
    },
  }
}

/** Runs a function for an event of a stream. An error must not reach the stream, which would end because of it. */
function guard<T>(log: Log, run: () => T): T | undefined {
  try {
    return run()
  } catch (error) {
    log.debug('cannot handle a stanza', { reason: getErrorMessage(error) })
    return undefined
  }
}

/** Joins the webhook of Alertmanager with the delivery of messages. */
function createAlerts({
  config,
  log,
  find,
}: Pick<MessagingOptions, 'config' | 'log'> & {
  find: (name: string | undefined) => MonitoredServer | undefined
}) {
  let server = config().alerts?.server
  const client = createMessagingClient(() => find(server)?.connection)
  const delivery = createDelivery({ client, config: () => config().alerts, log })
  const notifications = createNotificationCounts()

  function deliver(notification: Notification) {
    const { template, correctResolved = false } = config().alerts ?? {}
    const message = {
      key: getNotificationKey(notification),
      group: getGroupKey(notification),
      text: formatNotification(notification, { template }),
      firingAlerts: getAlertsKey(notification, 'firing'),
      corrects: correctResolved ? getAlertsKey(notification, 'resolved') : undefined,
    }
    return delivery.deliver(message, DELIVERY_MS)
  }

  return {
    delivery,
    getFamilies: () => [...delivery.getFamilies(), notifications.createFamily()],
    isOf: (name: string) => name === server,
    sendTest: (deadlineMs: number) =>
      sendTestMessage(delivery.deliver, client.domain() ?? '', deadlineMs),
    addRoute: (app: Hono) => {
      const token = () => config().alerts?.token
      addAlertsRoute(app, { token, deliver, onResponse: notifications.add, log })
    },
    applyConfig: () => {
      const next = config().alerts?.server
      if (next === undefined && server !== undefined) {
        log.warn(
          'The configuration no longer has alerts. Restart the exporter to remove the path /alerts.',
        )
      }
      // The exporter can only leave its rooms through the server with which it joined them.
      if (next !== server) delivery.forgetRooms()
      server = next
      delivery.applyConfig()
    },
  }
}
