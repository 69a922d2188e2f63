import { createHash } from 'node:crypto'
import { constants } from 'node:fs'
import { access, lstat, mkdir, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { getErrorCode } from '../http/unix-socket.js'
import { parseService } from '../xmpp/address.js'

/** A component of an XMPP server. At most one client can be logged in as a component at a time. */
export type Component = { readonly service: string; readonly domain: string }

/** The user that runs this process, and its environment. */
export type Owner = {
  readonly env: Readonly<Record<string, string | undefined>>
  /** The numeric user ID. On a system without numeric user IDs it is `undefined`, and there are no control sockets. */
  readonly uid: number | undefined
}

export type SocketDirectory = {
  readonly path: string
  /** Who creates and removes the directory. For `systemd`, it is the RuntimeDirectory= of a unit. */
  readonly kind: 'exporter' | 'systemd'
}

const NAME = 'prosody-exporter'
const OTHERS_MAY_WRITE = 0o022
// The path of a Unix socket can have 107 bytes on Linux (unix(7)), and 103 bytes on BSD and macOS.
const MAX_PATH_BYTES = 103
const LOOPBACK: ReadonlySet<string> = new Set(['localhost', '127.0.0.1', '::1'])

/**
 * Returns the file name of the control socket of a component. The name is a hash of domain and address, because the
 * path of a socket must be short, and a domain can have 1023 bytes. `localhost`, `127.0.0.1` and `::1` result in the
 * same hash.
 */
export function getSocketName({ service, domain }: Component): string {
  const { host, port } = parseService(service)
  const address = LOOPBACK.has(host) ? 'localhost' : host
  const hash = createHash('sha256').update(`${domain} ${address} ${port}`).digest('hex')
  return `${hash.slice(0, 16)}.sock`
}

/** Returns the directories in which the exporter can create its control sockets, in the order of preference. */
function listUsableDirectories({ env, uid }: Owner): SocketDirectory[] {
  if (uid === undefined) return []
  // RUNTIME_DIRECTORY has several directories, separated by colons, if the unit has several: systemd.exec(5).
  const [runtime = ''] = env['RUNTIME_DIRECTORY']?.split(':') ?? []
  const session = env['XDG_RUNTIME_DIR'] ?? ''
  const directories: SocketDirectory[] = [
    { path: runtime, kind: 'systemd' },
    { path: session && join(session, NAME), kind: 'exporter' },
    // /tmp and not os.tmpdir(), because TMPDIR of doctor and TMPDIR of the service can differ.
    { path: `/tmp/${NAME}-${uid}`, kind: 'exporter' },
  ]
  return directories.filter(({ path }) => path.startsWith('/'))
}

/** Returns the directories in which doctor looks for the control socket of a running exporter. */
export function listDirectoriesToSearch(owner: Owner): SocketDirectory[] {
  const { uid } = owner
  if (uid === undefined) return []
  const directories: SocketDirectory[] = [
    ...listUsableDirectories(owner),
    // XDG_RUNTIME_DIR in a session of the user. A doctor that sudo or cron starts does not have this variable.
    { path: `/run/user/${uid}/${NAME}`, kind: 'exporter' },
    // The RuntimeDirectory= of prosody-exporter.service.
    { path: `/run/${NAME}`, kind: 'systemd' },
  ]
  return directories.filter(
    ({ path }, at) => directories.findIndex((each) => each.path === path) === at,
  )
}

/**
 * Chooses a directory for the control sockets, and creates it if it is missing.
 *
 * @returns The directory, or a text that says why no directory can be used.
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

/**
 * Checks the directory. A missing directory of the kind `exporter` is created before.
 *
 * @throws Error when this user cannot create a socket in the directory, or when other users could replace the socket.
 */
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

// A component to compute the length of a socket's name, which is the same for all components.
const EXAMPLE: Component = { service: 'xmpp://localhost', domain: 'localhost' }

/** Returns whether this user owns the directory, and no other user can write to it. */
export async function isOwnDirectory(
  { path, kind }: SocketDirectory,
  uid: number,
): Promise<boolean> {
  // A symbolic link is followed only for a directory of systemd. In /tmp, any user could have created the link.
  const found = await (kind === 'systemd' ? stat : lstat)(path)
  return found.isDirectory() && found.uid === uid && (found.mode & OTHERS_MAY_WRITE) === 0
}
