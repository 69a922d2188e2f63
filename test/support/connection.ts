import type { TestContext } from 'node:test'
import type { Log } from '../../src/log/log.js'
import {
  createConnection,
  type Connection,
  type ConnectionOptions,
} from '../../src/xmpp/connection.js'
import { createClock, type Clock } from './clock.js'
import { startFakeServer, type FakeLink, type FakeServer } from './fake-server.js'
import { createQueue, type Queue } from './queue.js'

export type LogEntry = { readonly level: keyof Log; readonly message: string }

export type Setup = {
  readonly server: FakeServer
  readonly clock: Clock
  readonly connection: Connection
  /** All lines that the connection has logged so far. */
  readonly lines: LogEntry[]
  /** A queue of the logged lines, with which a test waits for a line. */
  readonly log: Queue<LogEntry>
  /** Resolves when the connection next has an authenticated stream. */
  readonly online: () => Promise<unknown>
  /** Waits for the next connection to the fake server, and accepts the handshake of the component. */
  readonly accept: () => Promise<FakeLink>
}

export const DOMAIN = 'stats.example'

/** Starts an XMPP connection to a fake server. Its timers use a clock that the test advances. */
export async function connectTo(
  t: Pick<TestContext, 'after'>,
  options: Partial<ConnectionOptions> & { readonly server?: FakeServer } = {},
): Promise<Setup> {
  const server = options.server ?? (await startFakeServer(t))
  const clock = createClock()
  const log = createQueue<LogEntry>()
  const lines: LogEntry[] = []
  const onlines = createQueue<unknown>()
  const line = (level: keyof Log) => (message: string) => {
    lines.push({ level, message })
    log.push({ level, message })
  }
  const connection = createConnection({
    service: server.service,
    domain: DOMAIN,
    secret: 'secret',
    version: '1.2.3',
    log: { debug: line('debug'), info: line('info'), warn: line('warn'), error: line('error') },
    schedule: clock.schedule,
    now: clock.now,
    random: () => 1,
    onOnline: () => {
      onlines.push(undefined)
    },
    ...options,
  })
  t.after(async () => {
    const stopped = connection.stop()
    clock.advance(1000)
    await stopped
  })
  connection.start()
  return {
    server,
    clock,
    connection,
    lines,
    log,
    online: () => onlines.next(),
    async accept() {
      const link = await server.link()
      await link.accept()
      return link
    },
  }
}
