import type { Hono } from 'hono'
import type { MessagingConfig } from '../config/read-config.js'
import type { Log } from '../log/log.js'
import type { Family } from '../metrics/family.js'
import type { MonitoredServer } from '../servers/monitored-server.js'
import type { Element } from '../xmpp/xml.js'
import { createChat } from './chat.js'
import { createMessagingClient } from './messaging-client.js'

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
  addRoutes(app: Hono): void
  /** Called at the start, and after each reload of the configuration. */
  applyConfig(): Promise<void>
  onOnline(server: string): void
  onLost(server: string): void
  /** Returns whether this part of the exporter has handled the stanza. Never throws. */
  onStanza(server: string, stanza: Element): boolean
  getFamilies(): readonly Family[]
  stop(): void
  close(): Promise<void>
}

export function createMessaging(options: MessagingOptions): Messaging {
  const { config, log, findServer, serverNames } = options
  const find = (name: string | undefined) => (name === undefined ? undefined : findServer(name))
  const alertsClient = createMessagingClient(() => find(config().alerts?.server)?.connection)
  const chatClient = createMessagingClient(() => find(config().chat?.server)?.connection)
  // The parts of the folder are joined here: delivery and webhook (alerts), chat and its ad-hoc commands.
  const chat = createChat({ config, client: chatClient, findServer, serverNames, log })
  const isChatServer = (server: string) => server === config().chat?.server
  void alertsClient
  return {
    addRoutes: () => {},
    applyConfig: () => {
      chat.applyConfig()
      return Promise.resolve()
    },
    onOnline: (server) => {
      if (isChatServer(server)) chat.onOnline()
    },
    onLost: () => {},
    onStanza: (server, stanza) => isChatServer(server) && chat.handle(stanza),
    getFamilies: () => [],
    stop: () => {
      chat.stop()
    },
    close: () => Promise.resolve(),
  }
}
