import { getErrorCode } from '../http/unix-socket.js'
import type { Log } from '../log/log.js'
import { startDiagnosisServer } from './diagnosis-server.js'
import { findService } from './find-service.js'
import {
  chooseDirectory,
  getSocketName,
  type Component,
  type Owner,
  type SocketDirectory,
} from './socket-directories.js'

// Another exporter holds the component: when it ends, its socket is free.
const RETRY_MS = 30_000

export type ControlSockets = {
  /** Opens a socket for each component that there is now, and closes those of others. Never rejects. */
  apply(): Promise<void>
  close(): Promise<void>
}

type Control = { readonly close: () => Promise<void> }

/**
 * The sockets through which `prosody-exporter doctor` asks this process, one for each component. Without
 * one the doctor would log in as the component itself and take the connection over, so the exporter
 * works on without them, but says so.
 *
 * @param options.components Those that the process holds at the time.
 * @param options.answer Text for the doctor about that component.
 */
export function createControlSockets(options: {
  readonly owner: Owner
  readonly log: Log
  readonly components: () => readonly Component[]
  readonly answer: (component: Component) => Promise<string>
  readonly retryMs?: number
}): ControlSockets {
  const { owner, log, components, answer, retryMs = RETRY_MS } = options
  const controls = new Map<string, Control>()
  let last: Promise<void> = Promise.resolve()
  let lastProblem: string | undefined

  /** One line, however many components there are. */
  function sayOnce(problem: string): void {
    if (problem === lastProblem) return
    lastProblem = problem
    log.info(
      `No control socket, so that "prosody-exporter doctor" would disconnect this exporter: ${problem}. ` +
        'Set XDG_RUNTIME_DIR, or RuntimeDirectory= of the unit, to a directory that only this user can write to.',
    )
  }

  async function open(component: Component, place: SocketDirectory): Promise<Control | undefined> {
    const found = await findService(component, owner)
    if (found && found.state !== 'hidden') return undefined
    const how = { place, uid: owner.uid!, answer: () => answer(component) }
    try {
      return { close: await startDiagnosisServer(component, how) }
    } catch (error) {
      if (getErrorCode(error) === 'EADDRINUSE') return undefined
      sayOnce(`${place.path}: ${(error as Error).message}`)
      return { close: () => Promise.resolve() }
    }
  }

  /** Opens it, or tries again until the other exporter is gone. */
  async function begin(component: Component, place: SocketDirectory): Promise<Control> {
    const control = await open(component, place)
    if (control) return control
    log.warn(
      `Another exporter on this machine uses component "${component.domain}": each disconnects the other. ` +
        'Stop one of them, or give it a component of its own.',
      { service: component.service },
    )
    let current: Control | undefined
    let trying: Promise<void> = Promise.resolve()
    const timer = setInterval(() => {
      trying = trying.then(async () => {
        if (current === undefined) current = await open(component, place)
        if (current) clearInterval(timer)
      })
    }, retryMs).unref()
    return {
      async close() {
        clearInterval(timer)
        await trying
        await current?.close()
      },
    }
  }

  async function apply(): Promise<void> {
    const wanted = new Map(components().map((each) => [getSocketName(each), each]))
    const ended = [...controls].filter(([name]) => !wanted.has(name))
    for (const [name] of ended) controls.delete(name)
    await Promise.all(ended.map(([, control]) => control.close()))
    const place = await chooseDirectory(owner)
    if (typeof place === 'string') {
      sayOnce(place)
      return
    }
    const opening = [...wanted].filter(([name]) => !controls.has(name))
    await Promise.all(
      opening.map(async ([name, component]) => {
        controls.set(name, await begin(component, place))
      }),
    )
  }

  async function close(): Promise<void> {
    await Promise.all(Array.from(controls.values(), (control) => control.close()))
    controls.clear()
  }

  // One after another: a reload may come while the start is under way.
  return {
    apply: () => (last = last.then(apply)),
    close: () => (last = last.then(close)),
  }
}
