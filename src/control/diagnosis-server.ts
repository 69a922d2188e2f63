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

/** The only path that the server has. */
export const DIAGNOSIS_PATH = '/diagnosis'

// This limit saves file descriptors only: clients that wait share one diagnosis.
const MAX_CONNECTIONS = 16
const LIMITS = { maxHeaderSize: 4096, headersTimeout: 5000, requestTimeout: 5000 } as const
// Another exporter of this user that stops removes the directory, perhaps just before this one uses it.
const MAX_ATTEMPTS = 5

/** Returns the diagnosis of one component, as text for doctor. */
export type Diagnose = () => Promise<string>

/**
 * Listens on a Unix socket where doctor asks for a diagnosis. Only the user of this process can connect.
 *
 * @returns A function that closes and removes the socket.
 * @throws Error when the socket cannot be created, for example EADDRINUSE when another process listens on it.
 */
export async function startDiagnosisServer(
  component: Component,
  { directory, uid, answer }: { directory: SocketDirectory; uid: number; answer: Diagnose },
): Promise<() => Promise<void>> {
  const server = createDiagnosisServer(answer)
  const path = join(directory.path, getSocketName(component))
  for (let attempt = 1; ; attempt++) {
    try {
      await bind(server, { path })
      // To connect, a user needs write permission on the socket: unix(7). Before this line, the mode of the
      // directory or UMask= of the unit denies it to other users.
      await chmod(path, 0o600)
      break
    } catch (error) {
      if (getErrorCode(error) !== 'ENOENT' || attempt === MAX_ATTEMPTS) throw error
      await prepareDirectory(directory, uid)
    }
  }
  // Accepting a connection failed, for example with EMFILE. Doctor then reports that the service did not answer.
  server.on('error', () => undefined)
  return async () => {
    await new Promise((resolve) => {
      // Node.js removes the socket file.
      server.close(resolve)
      server.closeAllConnections()
    })
    // Fails while another exporter has sockets in the directory.
    if (directory.kind === 'exporter') await rmdir(directory.path).catch(() => undefined)
  }
}

function createDiagnosisServer(answer: Diagnose): Server {
  let running: Promise<string> | undefined
  const server = createServer(LIMITS, ({ method, url }, response) => {
    response.setHeader('Connection', 'close')
    if (method !== 'GET' || url !== DIAGNOSIS_PATH) {
      response.writeHead(404).end(`GET ${DIAGNOSIS_PATH}\n`)
      return
    }
    running ??= answer().finally(() => (running = undefined))
    running.then(
      (text) => response.setHeader('Content-Type', 'application/json').end(text),
      (error: unknown) => response.writeHead(500).end(String(error)),
    )
  })
  server.maxConnections = MAX_CONNECTIONS
  return server
}
