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
 * `live`: the socket of a process that listens. `denied`: the same, and this user may not connect to it.
 * `hidden`: the directory, which this user may not look into.
 */
export type FoundSocket = { readonly path: string; readonly state: 'live' | 'denied' | 'hidden' }

/** The socket of the process that holds the component, or `undefined` when none has one. */
export async function findService(
  component: Component,
  owner: Owner,
): Promise<FoundSocket | undefined> {
  let hidden: FoundSocket | undefined
  for (const place of listDirectoriesToSearch(owner)) {
    const found = await searchDirectory(place, getSocketName(component), owner.uid!)
    if (found?.state === 'hidden') hidden ??= found
    else if (found) return found
  }
  return hidden
}

async function searchDirectory(
  place: SocketDirectory,
  name: string,
  uid: number,
): Promise<FoundSocket | undefined> {
  const path = join(place.path, name)
  try {
    // Whatever stands in /tmp under our name may be a trap. Only root creates directories in /run.
    if (place.kind === 'ours' && !(await isOwnDirectory(place, uid))) return undefined
    if (!(await lstat(path)).isSocket()) return undefined
  } catch (error) {
    // Another user's directory holds no socket of this user, for example an XDG_RUNTIME_DIR after su(1).
    const isHidden = getErrorCode(error) === 'EACCES' && place.kind === 'systemd'
    return isHidden ? { path: place.path, state: 'hidden' } : undefined
  }
  const state = await checkListener(path)
  return state === 'none' ? undefined : { path, state }
}

/** `none`: the process that made the socket is gone. */
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
      // EAGAIN: so many are waiting that nobody else can.
      else resolve(code === 'EACCES' || code === 'EPERM' ? 'denied' : 'live')
    })
  })
}
