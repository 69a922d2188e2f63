/** Reads all statistics from Prosody, on its own component stream. No read reuses the results of an earlier read. */

import { createRegistryCollector } from '../src/collectors/registry/registry.js'
import { createConnection } from '../src/xmpp/connection.js'
import type { TestProsody } from '../test/support/prosody.js'

const TIMEOUT_MS = 30_000
const silent = () => {}

/** Starts a component stream, and returns when Prosody has accepted the component. `stop` closes the stream. */
export async function startReader({ service, secret, statsDomains }: TestProsody) {
  let online = () => {}
  const isOnline = new Promise<void>((resolve) => (online = resolve))
  const connection = createConnection({
    service,
    domain: statsDomains[1]!,
    secret,
    version: '0',
    log: { debug: silent, info: silent, warn: silent, error: silent },
    onOnline: online,
  })
  connection.start()
  await isOnline
  return {
    readAll: () => createRegistryCollector(connection).collect({ timeoutMs: TIMEOUT_MS }),
    stop: () => connection.stop(),
  }
}
