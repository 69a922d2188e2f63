import { getErrorCode } from '../http/unix-socket.js'
import type { Log } from '../log/log.js'
import { reportConflict } from './ask-service.js'
import { startDiagnosisServer } from './diagnosis-server.js'
import { findService } from './find-service.js'
import {
  chooseDirectory,
  getSocketName,
  type Component,
  type Owner,
  type SocketDirectory,
} from './socket-directories.js'

// The interval of attempts to open the control socket of a component that another exporter on this machine has open.
const RETRY_MS = 30_000
// For how many of these intervals a conflict is remembered.
const CONFLICT_MEMORY = 3

export type ControlSockets = {
  /** Opens a control socket for each current component, and closes the sockets of former components. Never rejects. */
  apply(): Promise<void>
  close(): Promise<void>
}

export type ControlSocketOptions = {
  readonly owner: Owner
  readonly log: Log
  /** Returns the components that this process currently uses. */
  readonly components: () => readonly Component[]
  /**
   * Returns the diagnosis of a component, as text for doctor.
   *
   * @param isShared Whether another exporter on this machine reported recently that it uses the same component.
   */
  readonly answer: (component: Component, isShared: boolean) => Promise<string>
  /** Sends a test message through a component. Returns the result for each recipient, as text for doctor. */
  readonly sendTest?: (component: Component) => Promise<string>
  readonly retryMs?: number
}

type Closable = { readonly close: () => Promise<void> }
/** Opens the control socket of a component. The result is `undefined` while another exporter has this socket open. */
type OpenSocket = (
  component: Component,
  directory: SocketDirectory,
) => Promise<Closable | undefined>

/**
 * Manages the control sockets, one for each component. Through a control socket, `prosody-exporter doctor` asks this
 * process for a diagnosis or a test message. Without a control socket, doctor logs in as the component itself and so disconnects the
 * exporter. If a control socket cannot be opened, that is logged, and the exporter runs without it.
 */
export function createControlSockets(options: ControlSocketOptions): ControlSockets {
  const { owner, log, components, retryMs = RETRY_MS } = options
  const sockets = new Map<string, Closable>()
  const reportProblem = createProblemReporter(log)
  const open = createOpener(options, reportProblem)
  let queue: Promise<void> = Promise.resolve()

  async function openOrRetry(component: Component, directory: SocketDirectory): Promise<Closable> {
    const socket = await open(component, directory)
    if (socket) return socket
    log.warn(
      `Another exporter on this machine uses component "${component.domain}": each disconnects the other from Prosody. ` +
        'Stop one of the two exporters, or configure a component for each of them.',
      { service: component.service },
    )
    return retryUntilOpen(() => open(component, directory), retryMs)
  }

  async function apply(): Promise<void> {
    const wanted = new Map(components().map((each) => [getSocketName(each), each]))
    const obsolete = [...sockets].filter(([name]) => !wanted.has(name))
    for (const [name] of obsolete) sockets.delete(name)
    await Promise.all(obsolete.map(([, socket]) => socket.close()))
    const directory = await chooseDirectory(owner)
    if (typeof directory === 'string') {
      reportProblem(directory)
      return
    }
    const missing = [...wanted].filter(([name]) => !sockets.has(name))
    await Promise.all(
      missing.map(async ([name, component]) => {
        sockets.set(name, await openOrRetry(component, directory))
      }),
    )
  }

  async function close(): Promise<void> {
    await Promise.all(Array.from(sockets.values(), (socket) => socket.close()))
    sockets.clear()
  }

  // `apply` and `close` run one after another, because a reload can start while the first `apply` still runs.
  return {
    apply: () => (queue = queue.then(apply)),
    close: () => (queue = queue.then(close)),
  }
}

/** Returns a function that logs a problem, but not again for each component that has the same problem. */
function createProblemReporter(log: Log): (problem: string) => void {
  let lastProblem: string | undefined
  return (problem) => {
    if (problem === lastProblem) return
    lastProblem = problem
    log.info(
      `No control socket (${problem}). So "prosody-exporter doctor" disconnects this exporter from Prosody while doctor runs. ` +
        'Set XDG_RUNTIME_DIR, or RuntimeDirectory= of the systemd unit, to a directory in which only the user of the exporter can write.',
    )
  }
}

function createOpener(
  { owner, answer, sendTest, retryMs = RETRY_MS }: ControlSocketOptions,
  reportProblem: (problem: string) => void,
): OpenSocket {
  return async (component, directory) => {
    const found = await findService(component, owner)
    if (found && found.state !== 'hidden') {
      if (found.state === 'live') await reportConflict(found.path)
      return undefined
    }
    let conflictAtMs = -Infinity
    // The other exporter reports the conflict at each of its attempts to open the socket.
    const isShared = () => performance.now() - conflictAtMs < CONFLICT_MEMORY * retryMs
    const server = {
      directory,
      uid: owner.uid!,
      answer: () => answer(component, isShared()),
      sendTest: sendTest && (() => sendTest(component)),
      onConflict: () => {
        conflictAtMs = performance.now()
      },
    }
    try {
      return { close: await startDiagnosisServer(component, server) }
    } catch (error) {
      if (getErrorCode(error) === 'EADDRINUSE') return undefined
      reportProblem(`${directory.path}: ${(error as Error).message}`)
      return { close: () => Promise.resolve() }
    }
  }
}

/** Tries to open the socket every `retryMs` until that succeeds. `close` of the result also ends the attempts. */
function retryUntilOpen(open: () => Promise<Closable | undefined>, retryMs: number): Closable {
  let socket: Closable | undefined
  let lastAttempt: Promise<void> = Promise.resolve()
  const timer = setInterval(() => {
    lastAttempt = lastAttempt.then(async () => {
      if (socket === undefined) socket = await open()
      if (socket) clearInterval(timer)
    })
  }, retryMs).unref()
  return {
    async close() {
      clearInterval(timer)
      await lastAttempt
      await socket?.close()
    },
  }
}
