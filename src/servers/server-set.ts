import { isDeepStrictEqual } from 'node:util'
import type { Config, ServerConfig } from '../config/read-config.js'
import type { MonitoredServer, SharedConfig } from './monitored-server.js'

export type ServerSet = {
  get(name: string): MonitoredServer | undefined
  all(): readonly MonitoredServer[]
  /** The server, where there is one only. */
  only(): MonitoredServer | undefined
  /**
   * Makes them as the configuration has them: those that are as they were are not touched, those that
   * changed end before their successors begin, for both speak for the same component.
   */
  apply(config: Config): Promise<void>
  stop(): Promise<void>
}

type Kept = { readonly server: MonitoredServer; readonly shared: SharedConfig }

export function createServerSet(
  make: (config: ServerConfig, shared: SharedConfig) => MonitoredServer,
): ServerSet {
  let kept = new Map<string, Kept>()

  return {
    get: (name) => kept.get(name)?.server,
    all: () => Array.from(kept.values(), ({ server }) => server),
    only: () => (kept.size === 1 ? [...kept.values()][0]!.server : undefined),

    async apply({ servers, collection, exposition, registry, page, limits }) {
      const shared = { collection, exposition, registry, page, limits }
      const before = kept
      kept = new Map()
      const begin: MonitoredServer[] = []
      const goOn = new Set<MonitoredServer>()
      for (const config of servers) {
        const old = before.get(config.name)
        const isSame = old && isDeepStrictEqual([old.server.config, old.shared], [config, shared])
        const now = isSame ? old : { server: make(config, shared), shared }
        kept.set(config.name, now)
        if (isSame) goOn.add(now.server)
        else begin.push(now.server)
      }
      const ended = Array.from(before.values(), ({ server }) => server).filter((s) => !goOn.has(s))
      await Promise.all(ended.map(({ connection }) => connection.stop()))
      for (const { connection } of begin) connection.start()
    },

    async stop() {
      await Promise.all(Array.from(kept.values(), ({ server }) => server.connection.stop()))
    },
  }
}
