import type { Hono } from 'hono'
import type { MessagingConfig } from '../config/read-config.js'
import type { Log } from '../log/log.js'
import type { Family } from '../metrics/family.js'
import type { MonitoredServer } from '../servers/monitored-server.js'
import type { Element } from '../xmpp/xml.js'
import { createMessagingClient } from './messaging-client.js'
import type { MessageOutcome } from './test-message.js'

export type MessagingOptions = {
  /** Returns the current configuration. A reload replaces it. */
  readonly config: () => MessagingConfig
  readonly log: Log
  readonly findServer: (name: string) => MonitoredServer | undefined
}

/** The part of the exporter that sends alerts as XMPP messages, and answers questions in chat. */
export type Messaging = {
  addRoutes(app: Hono): void
  /** Called at the start, and after each reload of the configuration. */
  applyConfig(): Promise<void>
  onOnline(server: string): void
  onLost(server: string): void
  /** Returns whether this part of the exporter has handled the stanza. Never throws. */
  onStanza(server: string, stanza: Element): boolean
  /**
   * Sends a test message to all recipients of alerts. Returns `undefined` if the exporter sends no alerts through this
   * server.
   */
  sendTest(server: string, deadlineMs: number): Promise<MessageOutcome> | undefined
  getFamilies(): readonly Family[]
  stop(): void
  close(): Promise<void>
}

export function createMessaging(options: MessagingOptions): Messaging {
  const { config, log, findServer } = options
  const find = (name: string | undefined) => (name === undefined ? undefined : findServer(name))
  const alertsClient = createMessagingClient(() => find(config().alerts?.server)?.connection)
  const chatClient = createMessagingClient(() => find(config().chat?.server)?.connection)
  // The parts of the folder are joined here: delivery and webhook (alerts), chat and its ad-hoc commands.
  void log
  void alertsClient
  void chatClient
  return {
    addRoutes: () => {},
    applyConfig: () => Promise.resolve(),
    onOnline: () => {},
    onLost: () => {},
    onStanza: () => false,
    sendTest: () => undefined,
    getFamilies: () => [],
    stop: () => {},
    close: () => Promise.resolve(),
  }
}
