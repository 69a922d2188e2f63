import { lookup } from 'node:dns/promises'
import { once } from 'node:events'
import { connect, isIP } from 'node:net'
import type { ServerConfig } from '../../config/read-config.js'
import { parseService } from '../../xmpp/address.js'
import { explain } from '../../xmpp/advice.js'
import { createConnection, type Connection } from '../../xmpp/connection.js'
import type { Reporter } from './findings.js'
import { probePort } from './probe-port.js'

const STEP_MS = 10_000

type Target = ServerConfig['xmpp']

/** Connects to the server, logs in as the component, and reports each step. Returns `undefined` if a step failed. */
export async function connectAsComponent(
  target: Target,
  version: string,
  { ok, failed }: Reporter,
): Promise<Connection | undefined> {
  const { host, port } = parseService(target.service)
  try {
    const addresses = await lookup(host, { all: true })
    if (isIP(host) === 0)
      ok('name', `${host} resolves to ${addresses.map(({ address }) => address).join(', ')}`)
  } catch (error) {
    failed('name', explainNetwork(error, target))
    return undefined
  }

  const socket = connect({ host, port })
  try {
    await once(socket, 'connect', { signal: AbortSignal.timeout(STEP_MS) })
    ok('connection', `${host}:${port} accepts TCP connections`)
  } catch (error) {
    failed('connection', explainNetwork(error, target))
    return undefined
  } finally {
    socket.destroy()
  }

  const { connection, outcome } = startConnection(target, version)
  const problem = await outcome
  if (problem === undefined) {
    ok('login', `logged in as component ${target.domain}`)
    return connection
  }
  await connection.stop()
  failed('login', (await probePort(target, connection.lastEnd())) ?? problem)
  return undefined
}

function startConnection(target: Target, version: string) {
  let settle: (problem: string | undefined) => void = () => undefined
  const outcome = new Promise<string | undefined>((resolve) => (settle = resolve))
  const ignore = () => undefined
  const connection = createConnection({
    ...target,
    version,
    // The first warning or error that the connection logs says why the login failed and what to change.
    log: { debug: ignore, info: ignore, warn: settle, error: settle },
    onOnline: () => {
      settle(undefined)
    },
  })
  connection.start()
  return { connection, outcome }
}

function explainNetwork(error: unknown, { service, domain }: Target): string {
  const { code = '', name } = error as NodeJS.ErrnoException
  const condition = name === 'AbortError' || name === 'TimeoutError' ? 'ETIMEDOUT' : code
  const end = { kind: 'network' as const, condition, text: (error as Error).message }
  return explain(end, { service, domain, wasOnline: false })
}
