import { chmodSync, lchownSync, lstatSync } from 'node:fs'
import { lstat } from 'node:fs/promises'
import { connect } from 'node:net'
import { formatMode, type SocketAccess } from '../config/socket-access.js'

// The mode of a socket for which only a group is configured. It lets the user and the group connect.
const GROUP_MODE = 0o660
const OWNER_ONLY_UMASK = 0o177

export type SocketAccessOptions = SocketAccess & {
  /** Sets the umask of the process and returns the previous one: process.umask(). */
  readonly umask: (mask: number) => number
}

/**
 * Calls `bind`. If a mode or a group is configured, a umask first lets only the user of this process connect to the
 * new socket file. `setSocketAccess` then lets others connect.
 */
export function bindPrivately(access: SocketAccessOptions | undefined, bind: () => void): void {
  if (access?.mode === undefined && access?.group === undefined) {
    bind()
    return
  }
  // The umask applies to the whole process. No other code runs with it, because Node.js creates the socket file
  // before listen() returns.
  const before = access.umask(OWNER_ONLY_UMASK)
  try {
    bind()
  } finally {
    access.umask(before)
  }
}

/** @throws Error with one line that names the setting of the mode or group that cannot be applied. */
export function setSocketAccess(path: string, { mode, group }: SocketAccess): void {
  if (group) {
    const advice =
      'run the exporter as a member of that group (SupplementaryGroups= in a systemd unit)'
    change(group.source, `group ${group.id}`, advice, () => {
      lchownSync(path, -1, group.id)
    })
  }
  const value = mode?.value ?? (group ? GROUP_MODE : undefined)
  if (value === undefined) return
  const source = mode?.source ?? group!.source
  change(source, `mode ${formatMode(value)}`, 'choose another directory for the socket', () => {
    // chmod(2) follows symbolic links, so it must not run if a symbolic link has replaced the socket.
    if (!lstatSync(path).isSocket()) throw new Error('it is not a socket any more')
    chmodSync(path, value)
  })
}

function change(source: string, what: string, advice: string, run: () => void): void {
  try {
    run()
  } catch (error) {
    const reason = getErrorCode(error) === 'EPERM' ? 'permission denied' : getErrorCode(error)
    throw new Error(`${source}: cannot give the socket ${what}: ${reason}; ${advice}`, {
      cause: error,
    })
  }
}

/**
 * Whether the path is a socket file on which no process listens. Only such a file can be removed without harm.
 */
export async function isStaleSocket(path: string): Promise<boolean> {
  if (!(await lstat(path)).isSocket()) return false
  return new Promise((resolve) => {
    const socket = connect(path)
    socket.once('connect', () => {
      socket.destroy()
      resolve(false)
    })
    socket.once('error', (error) => {
      resolve(getErrorCode(error) === 'ECONNREFUSED')
    })
  })
}

export function getErrorCode(error: unknown): string {
  return error instanceof Error && 'code' in error ? String(error.code) : String(error)
}
