import { lstat } from 'node:fs/promises'
import { connect } from 'node:net'
import { join } from 'node:path'
import { getErrorCode } from '../http/unix-socket.js'
import {
  isOwnDirectory,
  listDirectoriesToSearch,
  getSocketName,
  type Component,
  type Owner,
  type SocketDirectory,
} from './socket-directories.js'

/**
 * A control socket, or a directory that may contain one. `live`: a process listens on the socket `path`. `denied`:
 * this user may not connect to the socket `path`, on which a process may listen. `hidden`: `path` is a directory in
 * which this user may not look for sockets.
 */
export type FoundSocket = { readonly path: string; readonly state: 'live' | 'denied' | 'hidden' }

/** Finds the control socket of the exporter that uses the component; `undefined` if no running exporter has one. */
export async function findService(
  component: Component,
  owner: Owner,
): Promise<FoundSocket | undefined> {
  let hidden: FoundSocket | undefined
  for (const directory of listDirectoriesToSearch(owner)) {
    const found = await searchDirectory(directory, getSocketName(component), owner.uid!)
    if (found?.state === 'hidden') hidden ??= found
    else if (found) return found
  }
  return hidden
}

async function searchDirectory(
  directory: SocketDirectory,
  name: string,
  uid: number,
): Promise<FoundSocket | undefined> {
  const path = join(directory.path, name)
  try {
    // In /tmp, any user can create a directory with the name that exporters use, so its owner is checked. In /run,
    // only root can create directories.
    if (directory.kind === 'exporter' && !(await isOwnDirectory(directory, uid))) return undefined
    if (!(await lstat(path)).isSocket()) return undefined
  } catch (error) {
    // A directory of the kind `exporter` has only sockets of its owner. So a directory of another user is ignored, for
    // example one in the XDG_RUNTIME_DIR that su(1) leaves in the environment.
    const isHidden = getErrorCode(error) === 'EACCES' && directory.kind === 'systemd'
    return isHidden ? { path: directory.path, state: 'hidden' } : undefined
  }
  const state = await checkListener(path)
  return state === 'none' ? undefined : { path, state }
}

/** Returns whether a process listens on the socket. `none`: the process that created the socket has ended. */
function checkListener(path: string): Promise<'live' | 'denied' | 'none'> {
  return new Promise((resolve) => {
    const socket = connect(path)
    socket.once('connect', () => {
      socket.destroy()
      resolve('live')
    })
    socket.once('error', (error) => {
      const code = getErrorCode(error)
      if (code === 'ECONNREFUSED' || code === 'ENOENT') resolve('none')
      // Any other error, except for a denied permission, shows that a process listens. For example, EAGAIN means
      // that too many connections wait.
      else resolve(code === 'EACCES' || code === 'EPERM' ? 'denied' : 'live')
    })
  })
}
