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

/** The only thing that can be asked. */
export const DIAGNOSIS_PATH = '/diagnosis'

// Who waits shares one diagnosis, so that this is a limit for descriptors.
const MAX_CONNECTIONS = 16
const LIMITS = { maxHeaderSize: 4096, headersTimeout: 5000, requestTimeout: 5000 } as const
// The last exporter of this user removes the directory, which may be just before we use it.
const TRIES = 5

/** Text for the doctor, about one component. */
export type Diagnose = () => Promise<string>

/**
 * A socket for the owner of this process alone, where the doctor asks for a diagnosis.
 *
 * @returns The end: closes and removes it.
 * @throws When it cannot be created, e.g. EADDRINUSE where another process listens on it.
 */
export async function startDiagnosisServer(
  component: Component,
  { place, uid, answer }: { place: SocketDirectory; uid: number; answer: Diagnose },
): Promise<() => Promise<void>> {
  const server = createDiagnosisServer(answer)
  const path = join(place.path, getSocketName(component))
  for (let tries = 1; ; tries++) {
    try {
      await bind(server, { path })
      // Until here the directory's mode or the unit's UMask= kept others away: to connect takes the right
      // to write, unix(7).
      await chmod(path, 0o600)
      break
    } catch (error) {
      if (getErrorCode(error) !== 'ENOENT' || tries === TRIES) throw error
      await prepareDirectory(place, uid)
    }
  }
  // Accepting failed, e.g. EMFILE: the doctor says that nobody answers.
  server.on('error', () => undefined)
  return async () => {
    await new Promise((resolve) => {
      // Node.js removes the socket file.
      server.close(resolve)
      server.closeAllConnections()
    })
    // Not while another exporter has its sockets there.
    if (place.kind === 'ours') await rmdir(place.path).catch(() => undefined)
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
