import { chmodSync, lchownSync, lstatSync } from 'node:fs'
import { lstat } from 'node:fs/promises'
import { connect } from 'node:net'
import { formatMode, type SocketAccess } from '../config/socket-access.js'

// With a group alone: as usual for a socket that a web server connects to.
const GROUP_MODE = 0o660
const NOBODY_ELSE = 0o177

export type AccessOptions = SocketAccess & {
  /** Sets the umask of the process, and returns the one before: process.umask(). */
  readonly umask: (mask: number) => number
}

/** Runs what binds a socket file so that, until `setAccess`, nobody but this user can connect. */
export function bindPrivately(access: AccessOptions | undefined, bind: () => void): void {
  if (access?.mode === undefined && access?.group === undefined) {
    bind()
    return
  }
  // Node binds before listen() returns; the umask is of the whole process, and nothing runs in between.
  const before = access.umask(NOBODY_ELSE)
  try {
    bind()
  } finally {
    access.umask(before)
  }
}

/** @throws Error with a line that names the setting. */
export function setAccess(path: string, { mode, group }: SocketAccess): void {
  if (group) {
    const advice = `run it as a member of that group (SupplementaryGroups= in a systemd unit)`
    change(group.source, `group ${group.id}`, advice, () => {
      lchownSync(path, -1, group.id)
    })
  }
  const value = mode?.value ?? (group ? GROUP_MODE : undefined)
  if (value === undefined) return
  const source = mode?.source ?? group!.source
  change(source, `mode ${formatMode(value)}`, 'choose another directory for the socket', () => {
    // chmod(2) follows a symbolic link that somebody put in place of the socket.
    if (!lstatSync(path).isSocket()) throw new Error('it is no longer a socket')
    chmodSync(path, value)
  })
}

function change(source: string, what: string, advice: string, run: () => void): void {
  try {
    run()
  } catch (error) {
    const reason = codeOf(error) === 'EPERM' ? 'not permitted' : codeOf(error)
    throw new Error(`${source}: cannot give the socket ${what}: ${reason}; ${advice}`, {
      cause: error,
    })
  }
}

// Connecting to a plain file is refused too: look at what it is before it is removed.
export async function isStaleSocket(path: string): Promise<boolean> {
  if (!(await lstat(path)).isSocket()) return false
  return new Promise((resolve) => {
    const socket = connect(path)
    socket.once('connect', () => {
      socket.destroy()
      resolve(false)
    })
    socket.once('error', (error) => {
      resolve(codeOf(error) === 'ECONNREFUSED')
    })
  })
}

export function codeOf(error: unknown): string {
  return error instanceof Error && 'code' in error ? String(error.code) : String(error)
}
