import { request } from 'node:http'
import { CONFLICT_PATH, DIAGNOSIS_PATH } from './diagnosis-server.js'
import { findService } from './find-service.js'
import type { Component, Owner } from './socket-directories.js'

const MAX_RESPONSE_LENGTH = 4 * 1024 * 1024
const CONFLICT_TIMEOUT_MS = 5000

/**
 * Asks the running exporter that uses the component for a diagnosis, over its control socket.
 *
 * @returns The diagnosis as text; `undefined` when no running exporter has a control socket for the component.
 * @throws Error with one line for the operator, when an exporter runs but does not give a diagnosis.
 */
export async function askService(
  component: Component,
  owner: Owner,
  timeoutMs: number,
): Promise<string | undefined> {
  const found = await findService(component, owner)
  if (found === undefined) return undefined
  if (found.state !== 'live') {
    throw new Error(
      `${found.state === 'denied' ? 'The service runs as another user' : 'A service of another user seems to run'} ` +
        `(${found.path}: permission denied). Run doctor as root, or as the user of the service.`,
    )
  }
  try {
    return await get(found.path, DIAGNOSIS_PATH, timeoutMs)
  } catch (error) {
    throw new Error(
      `The running service (${found.path}) did not answer: ${(error as Error).message}. ` +
        'See its log, and run doctor again. If this repeats, restart the service.',
      { cause: error },
    )
  }
}

/** Reports to the exporter that listens on a control socket that this process uses the same component. Never rejects. */
export async function reportConflict(socketPath: string): Promise<void> {
  // An exporter of an older version does not know the request. Then it learns about this process from Prosody only.
  await get(socketPath, CONFLICT_PATH, CONFLICT_TIMEOUT_MS).catch(() => undefined)
}

function get(socketPath: string, path: string, timeoutMs: number): Promise<string> {
  return new Promise((resolve, reject) => {
    const signal = AbortSignal.timeout(timeoutMs)
    const options = { socketPath, path, agent: false, signal }
    const fail = (error: Error) => {
      const seconds = Math.round(timeoutMs / 1000)
      reject(signal.aborted ? new Error(`no answer within ${seconds} s`) : error)
    }
    const sent = request(options, (response) => {
      let text = ''
      response.setEncoding('utf8')
      response.on('error', fail)
      response.on('data', (chunk: string) => {
        text += chunk
        if (text.length > MAX_RESPONSE_LENGTH)
          response.destroy(new Error('its response is too long'))
      })
      response.on('end', () => {
        if (response.statusCode === 200) resolve(text)
        else reject(new Error(text.trim() || `status ${response.statusCode}`))
      })
    })
    sent.on('error', fail)
    sent.end()
  })
}
