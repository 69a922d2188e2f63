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
 * `live`: a process listens on the socket. `denied`: a process listens, but this user may not connect.
 * `hidden`: `path` is a directory that this user may not search.
 */
export type FoundSocket = { readonly path: string; readonly state: 'live' | 'denied' | 'hidden' }

/** Finds the control socket of the process that uses the component; `undefined` if there is none. */
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
    // Any user can create a directory with this name in /tmp. Only root creates directories in /run.
    if (directory.kind === 'exporter' && !(await isOwnDirectory(directory, uid))) return undefined
    if (!(await lstat(path)).isSocket()) return undefined
  } catch (error) {
    // A directory that exporters create holds sockets of its owner only. If it belongs to another user, for
    // example XDG_RUNTIME_DIR after su(1), it is not relevant.
    const isHidden = getErrorCode(error) === 'EACCES' && directory.kind === 'systemd'
    return isHidden ? { path: directory.path, state: 'hidden' } : undefined
  }
  const state = await checkListener(path)
  return state === 'none' ? undefined : { path, state }
}

/** @returns `none` if the process that created the socket is gone. */
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
      // Another error means that a process listens, for example EAGAIN: its queue of connections is full.
      else resolve(code === 'EACCES' || code === 'EPERM' ? 'denied' : 'live')
    })
  })
}
