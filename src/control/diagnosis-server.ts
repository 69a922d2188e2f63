import { chmod, rmdir } from 'node:fs/promises'
import { createServer, type Server } from 'node:http'
import { join } from 'node:path'
import { bind } from '../http/listener.js'
import { getErrorCode } from '../http/unix-socket.js'
import {
  prepareDirectory,
  getSocketName,
  type Component,
  type SocketDirectory,
} from './socket-directories.js'

/** The HTTP path for doctor. */
export const DIAGNOSIS_PATH = '/diagnosis'
/** The HTTP path that another exporter requests to report that it uses the same component. */
export const CONFLICT_PATH = '/conflict'
/** The HTTP path to which doctor posts a request for a test message. */
export const TEST_MESSAGE_PATH = '/test-message'

// The limit on connections to the control socket is for file descriptors. Clients cannot cause more work by more
// connections, because all clients that wait share one diagnosis and one test message.
const MAX_CONNECTIONS = 16
const LIMITS = { maxHeaderSize: 4096, headersTimeout: 5000, requestTimeout: 5000 } as const
// How often the server tries to create its socket. Another exporter of the same user removes the directory when it
// stops, which can happen just before this process creates its socket there.
const MAX_ATTEMPTS = 5

/** The answers to the requests on the control socket of one component, as JSON text for doctor. */
export type ControlAnswers = {
  /** Returns the diagnosis of the component. */
  readonly answer: () => Promise<string>
  /** Sends a test message to the recipients of alerts. Returns the result for each recipient. */
  readonly sendTest?: (() => Promise<string>) | undefined
}

/**
 * Listens on the control socket of a component, a Unix socket on which doctor asks for a diagnosis or a test message.
 * Only root and the user of this process can connect.
 *
 * @returns A function that closes and removes the socket.
 * @throws Error when the socket cannot be created. Its code is EADDRINUSE when another process listens on the socket.
 */
export async function startDiagnosisServer(
  component: Component,
  {
    directory,
    uid,
    ...handlers
  }: ControlAnswers & { directory: SocketDirectory; uid: number; onConflict: () => void },
): Promise<() => Promise<void>> {
  const server = createDiagnosisServer(handlers)
  const path = join(directory.path, getSocketName(component))
  for (let attempt = 1; ; attempt++) {
    try {
      await bind(server, { path })
      // A user who connects to a socket needs write permission for it: unix(7). Until chmod has run, the mode of the
      // directory or UMask= of the systemd unit denies this permission to other users.
      await chmod(path, 0o600)
      break
    } catch (error) {
      if (getErrorCode(error) !== 'ENOENT' || attempt === MAX_ATTEMPTS) throw error
      await prepareDirectory(directory, uid)
    }
  }
  // The server emits `error` when it cannot accept a connection, for example because of EMFILE. Doctor then reports
  // that the service did not answer, so the error needs no log line.
  server.on('error', () => undefined)
  return async () => {
    await new Promise((resolve) => {
      // `close` of Node.js also removes the socket file.
      server.close(resolve)
      server.closeAllConnections()
    })
    // `rmdir` fails while another exporter has sockets in the directory. Then that exporter removes the directory.
    if (directory.kind === 'exporter') await rmdir(directory.path).catch(() => undefined)
  }
}

function createDiagnosisServer({
  answer,
  sendTest,
  onConflict,
}: ControlAnswers & { onConflict: () => void }): Server {
  const answers = new Map([[`GET ${DIAGNOSIS_PATH}`, shareResult(answer)]])
  if (sendTest) answers.set(`POST ${TEST_MESSAGE_PATH}`, shareResult(sendTest))
  const server = createServer(LIMITS, ({ method, url }, response) => {
    response.setHeader('Connection', 'close')
    if (method === 'GET' && url === CONFLICT_PATH) {
      onConflict()
      response.end()
      return
    }
    const respond = answers.get(`${method} ${url}`)
    if (respond === undefined) {
      response.writeHead(404).end(`${[...answers.keys()].join('\n')}\n`)
      return
    }
    respond().then(
      (text) => response.setHeader('Content-Type', 'application/json').end(text),
      (error: unknown) => response.writeHead(500).end(String(error)),
    )
  })
  server.maxConnections = MAX_CONNECTIONS
  return server
}

/** Returns a function whose calls share one result while `run` runs. */
function shareResult(run: () => Promise<string>): () => Promise<string> {
  let running: Promise<string> | undefined
  return () => (running ??= run().finally(() => (running = undefined)))
}
