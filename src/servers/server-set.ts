import { isDeepStrictEqual } from 'node:util'
import type { Config, ServerConfig } from '../config/read-config.js'
import type { MonitoredServer, SharedConfig } from './monitored-server.js'

export type ServerSet = {
  get(name: string): MonitoredServer | undefined
  getAll(): readonly MonitoredServer[]
  /** Returns the server if the configuration has exactly one server, otherwise undefined. */
  getOnly(): MonitoredServer | undefined
  /**
   * Starts, replaces and stops connections to servers, so that they match the configuration. A server whose
   * configuration did not change is not affected. The old connection to a server stops before its new connection
   * starts, because both log in as the same component.
   */
  apply(config: Config): Promise<void>
  stop(): Promise<void>
}

type ConfiguredServer = { readonly server: MonitoredServer; readonly shared: SharedConfig }

/**
 * @param options.onStopping Called before `apply` stops the connection to a server, with its name. `get` still returns
 *   this server.
 */
export function createServerSet(
  createServer: (config: ServerConfig, shared: SharedConfig) => MonitoredServer,
  { onStopping = () => {} }: { readonly onStopping?: (name: string) => void } = {},
): ServerSet {
  let current = new Map<string, ConfiguredServer>()

  return {
    get: (name) => current.get(name)?.server,
    getAll: () => Array.from(current.values(), ({ server }) => server),
    getOnly: () => (current.size === 1 ? [...current.values()][0]!.server : undefined),

    async apply({ servers, collection, exposition, registry, page, limits }) {
      const shared = { collection, exposition, registry, page, limits }
      const next = new Map<string, ConfiguredServer>()
      const added: MonitoredServer[] = []
      const unchanged = new Set<MonitoredServer>()
      for (const config of servers) {
        const old = current.get(config.name)
        if (old && isDeepStrictEqual([old.server.config, old.shared], [config, shared])) {
          next.set(config.name, old)
          unchanged.add(old.server)
        } else {
          const server = createServer(config, shared)
          next.set(config.name, { server, shared })
          added.push(server)
        }
      }
      const removed = Array.from(current.values(), ({ server }) => server).filter(
        (server) => !unchanged.has(server),
      )
      for (const { config } of removed) onStopping(config.name)
      current = next
      await Promise.all(removed.map(({ connection }) => connection.stop()))
      // A slow disk must not delay the new connections. A new history of the same server uses the file after the old one.
      for (const { history } of removed) void history.flush()
      for (const { connection } of added) connection.start()
    },

    async stop() {
      await Promise.all(Array.from(current.values(), ({ server }) => stopServer(server)))
    },
  }
}

async function stopServer({ connection, history }: MonitoredServer): Promise<void> {
  await connection.stop()
  await history.flush()
}
