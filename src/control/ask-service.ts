import { request } from 'node:http'
import { CONFLICT_PATH, DIAGNOSIS_PATH, TEST_MESSAGE_PATH } from './diagnosis-server.js'
import { findService } from './find-service.js'
import type { Component, Owner } from './socket-directories.js'

const MAX_RESPONSE_LENGTH = 4 * 1024 * 1024
const CONFLICT_TIMEOUT_MS = 5000

/** A request on a control socket. */
type ControlRequest = { readonly method: 'GET' | 'POST'; readonly path: string }

const DIAGNOSIS: ControlRequest = { method: 'GET', path: DIAGNOSIS_PATH }
const TEST_MESSAGE: ControlRequest = { method: 'POST', path: TEST_MESSAGE_PATH }

/** The exporter that listens on a control socket does not know the request, because its version is older. */
class UnknownRequestError extends Error {
  override readonly name = 'UnknownRequestError'
}

/** The exporter may have received the request, and did not answer. Whether it did what was requested is unknown. */
export class UnansweredError extends Error {
  override readonly name = 'UnansweredError'
}

/**
 * Asks the running exporter that uses the component for a diagnosis, over its control socket.
 *
 * @returns The diagnosis as text; `undefined` when no running exporter has a control socket for the component.
 * @throws Error with one line for the operator, when an exporter runs but does not give a diagnosis.
 */
export const askService = (component: Component, owner: Owner, timeoutMs: number) =>
  ask(component, owner, DIAGNOSIS, timeoutMs)

/**
 * Asks the running exporter that uses the component to send a test message to all recipients of alerts.
 *
 * @returns The result for each recipient, as text; `undefined` when no running exporter has a control socket for the component.
 * @throws UnansweredError when an exporter runs but does not answer; Error when it sent no message. Both have one line for
 *   the operator.
 */
export const askForTestMessage = (component: Component, owner: Owner, timeoutMs: number) =>
  ask(component, owner, TEST_MESSAGE, timeoutMs)

async function ask(
  component: Component,
  owner: Owner,
  what: ControlRequest,
  timeoutMs: number,
): Promise<string | undefined> {
  const found = await findService(component, owner)
  if (found === undefined) return undefined
  const { path, state } = found
  if (state !== 'live') {
    throw new Error(
      `${state === 'denied' ? 'The service runs as another user' : 'A service of another user seems to run'} ` +
        `(${path}: permission denied). Run doctor as root, or as the user of the service.`,
    )
  }
  try {
    return await send(path, what, timeoutMs)
  } catch (error) {
    if (error instanceof UnknownRequestError) {
      throw new Error(
        `The running service (${path}) is an older version, which does not know this request. ` +
          'Restart the service: systemctl restart prosody-exporter',
        { cause: error },
      )
    }
    throw new UnansweredError(
      `The running service (${path}) did not answer: ${(error as Error).message}. ` +
        'See its log, and run doctor again. If this repeats, restart the service.',
      { cause: error },
    )
  }
}

/** Reports to the exporter that listens on a control socket that this process uses the same component. Never rejects. */
export async function reportConflict(socketPath: string): Promise<void> {
  // An exporter of an older version does not know the request. Then it learns about this process from Prosody only.
  const conflict = { method: 'GET', path: CONFLICT_PATH } as const
  await send(socketPath, conflict, CONFLICT_TIMEOUT_MS).catch(() => undefined)
}

function send(socketPath: string, what: ControlRequest, timeoutMs: number): Promise<string> {
  return new Promise((resolve, reject) => {
    const signal = AbortSignal.timeout(timeoutMs)
    const options = { socketPath, ...what, agent: false, signal }
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
        else if (response.statusCode === 404) reject(new UnknownRequestError(text.trim()))
        else reject(new Error(text.trim() || `status ${response.statusCode}`))
      })
    })
    sent.on('error', fail)
    sent.end()
  })
}
