import { createHash } from 'node:crypto'
import { constants } from 'node:fs'
import { access, lstat, mkdir, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { getErrorCode } from '../http/unix-socket.js'
import { parseService } from '../xmpp/address.js'

/** A component of an XMPP server. At most one connection can be logged in as the component. */
export type Component = { readonly service: string; readonly domain: string }

/** The user that runs this process, and its environment. */
export type Owner = {
  readonly env: Readonly<Record<string, string | undefined>>
  /** Undefined on a system without numeric user IDs. Such a system has no control sockets. */
  readonly uid: number | undefined
}

export type SocketDirectory = {
  readonly path: string
  /** `exporter`: the exporter creates and removes it. `systemd`: RuntimeDirectory= of a unit. */
  readonly kind: 'exporter' | 'systemd'
}

const NAME = 'prosody-exporter'
const OTHERS_MAY_WRITE = 0o022
// sun_path with its closing NUL: 108 bytes on Linux (unix(7)), 104 on BSD and macOS.
const MAX_PATH_BYTES = 103
const LOOPBACK: ReadonlySet<string> = new Set(['localhost', '127.0.0.1', '::1'])

/**
 * Returns the name of the component's socket. It is a hash, because the path must be short, and a domain can
 * have 1023 bytes. All names of the loopback address give the same hash.
 */
export function getSocketName({ service, domain }: Component): string {
  const { host, port } = parseService(service)
  const address = LOOPBACK.has(host) ? 'localhost' : host
  const hash = createHash('sha256').update(`${domain} ${address} ${port}`).digest('hex')
  return `${hash.slice(0, 16)}.sock`
}

/** Returns the directories in which the exporter may create its sockets, the best first. */
function listUsableDirectories({ env, uid }: Owner): SocketDirectory[] {
  if (uid === undefined) return []
  // systemd separates several directories with a colon: systemd.exec(5).
  const [runtime = ''] = env['RUNTIME_DIRECTORY']?.split(':') ?? []
  const session = env['XDG_RUNTIME_DIR'] ?? ''
  const directories: SocketDirectory[] = [
    { path: runtime, kind: 'systemd' },
    { path: session && join(session, NAME), kind: 'exporter' },
    // Not os.tmpdir(): doctor and the service can have a different TMPDIR.
    { path: `/tmp/${NAME}-${uid}`, kind: 'exporter' },
  ]
  return directories.filter(({ path }) => path.startsWith('/'))
}

/** Returns the directories in which a service can have its socket, however it was started. */
export function listDirectoriesToSearch(owner: Owner): SocketDirectory[] {
  const { uid } = owner
  if (uid === undefined) return []
  const directories: SocketDirectory[] = [
    ...listUsableDirectories(owner),
    // XDG_RUNTIME_DIR of the user's session, for a process outside of it, for example with sudo or cron.
    { path: `/run/user/${uid}/${NAME}`, kind: 'exporter' },
    // RuntimeDirectory= of prosody-exporter.service.
    { path: `/run/${NAME}`, kind: 'systemd' },
  ]
  return directories.filter(
    ({ path }, at) => directories.findIndex((each) => each.path === path) === at,
  )
}

/**
 * Chooses a directory for the control sockets, and creates it if it is missing.
 *
 * @returns The directory, or a text that says why none can be used.
 */
export async function chooseDirectory(owner: Owner): Promise<SocketDirectory | string> {
  const problems: string[] = []
  for (const directory of listUsableDirectories(owner)) {
    try {
      await prepareDirectory(directory, owner.uid!)
      return directory
    } catch (error) {
      problems.push(`${directory.path}: ${(error as Error).message}`)
    }
  }
  return problems.join('; ') || 'this system does not support Unix sockets with an owner'
}

/** @throws Error when this user cannot create a socket there, or other users could replace it. */
export async function prepareDirectory(
  { path, kind }: SocketDirectory,
  uid: number,
): Promise<void> {
  if (Buffer.byteLength(join(path, getSocketName(EXAMPLE))) > MAX_PATH_BYTES) {
    throw new Error('the path is too long for a socket')
  }
  if (kind === 'exporter') {
    await mkdir(path, { mode: 0o700 }).catch((error: unknown) => {
      if (getErrorCode(error) !== 'EEXIST') throw error
    })
  }
  if (!(await isOwnDirectory({ path, kind }, uid)))
    throw new Error('another user owns the directory or can write to it')
  await access(path, constants.W_OK | constants.X_OK)
}

// All names of sockets have the same length.
const EXAMPLE: Component = { service: 'xmpp://localhost', domain: 'localhost' }

/** Whether this user owns the directory, and no other user can write to it. */
export async function isOwnDirectory(
  { path, kind }: SocketDirectory,
  uid: number,
): Promise<boolean> {
  // Follows a symbolic link for a directory of systemd only. In /tmp any user could have created the link.
  const found = await (kind === 'systemd' ? stat : lstat)(path)
  return found.isDirectory() && found.uid === uid && (found.mode & OTHERS_MAY_WRITE) === 0
}
