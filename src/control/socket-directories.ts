import { createHash } from 'node:crypto'
import { constants } from 'node:fs'
import { access, lstat, mkdir, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { getErrorCode } from '../http/unix-socket.js'
import { parseService } from '../xmpp/address.js'

/** A component of a server: at most one connection at a time can hold it. */
export type Component = { readonly service: string; readonly domain: string }

/** The user that runs this process, and its environment. */
export type Owner = {
  readonly env: Readonly<Record<string, string | undefined>>
  /** Undefined on a system without users of this kind: it has no control sockets either. */
  readonly uid: number | undefined
}

export type SocketDirectory = {
  readonly path: string
  /** `ours`: the exporter creates and removes it. `systemd`: RuntimeDirectory= of a unit. */
  readonly kind: 'ours' | 'systemd'
}

const NAME = 'prosody-exporter'
const OTHERS_MAY_WRITE = 0o022
// sun_path with its closing NUL: 108 bytes on Linux (unix(7)), 104 on BSD and macOS.
const MAX_PATH_BYTES = 103
const LOOPBACK: ReadonlySet<string> = new Set(['localhost', '127.0.0.1', '::1'])

/**
 * The name of the component's socket. A path must be short, and a domain can have 1023 bytes: it is a
 * hash. Both names of this machine give the same.
 */
export function getSocketName({ service, domain }: Component): string {
  const { host, port } = parseService(service)
  const address = LOOPBACK.has(host) ? 'localhost' : host
  const hash = createHash('sha256').update(`${domain} ${address} ${port}`).digest('hex')
  return `${hash.slice(0, 16)}.sock`
}

/** Where the exporter may put its sockets, the best first. */
function listUsableDirectories({ env, uid }: Owner): SocketDirectory[] {
  if (uid === undefined) return []
  // Several of them have a colon in between: systemd.exec(5).
  const [runtime = ''] = env['RUNTIME_DIRECTORY']?.split(':') ?? []
  const session = env['XDG_RUNTIME_DIR'] ?? ''
  const places: SocketDirectory[] = [
    { path: runtime, kind: 'systemd' },
    { path: session && join(session, NAME), kind: 'ours' },
    // Not os.tmpdir(): doctor may run with another TMPDIR than the service.
    { path: `/tmp/${NAME}-${uid}`, kind: 'ours' },
  ]
  return places.filter(({ path }) => path.startsWith('/'))
}

/** Where a service may have put its socket, whoever started it. */
export function listDirectoriesToSearch(owner: Owner): SocketDirectory[] {
  const { uid } = owner
  if (uid === undefined) return []
  const places: SocketDirectory[] = [
    ...listUsableDirectories(owner),
    // Of a session to which this process does not belong, as with sudo or cron.
    { path: `/run/user/${uid}/${NAME}`, kind: 'ours' },
    // RuntimeDirectory= of prosody-exporter.service.
    { path: `/run/${NAME}`, kind: 'systemd' },
  ]
  return places.filter(({ path }, at) => places.findIndex((each) => each.path === path) === at)
}

/**
 * A directory for the control sockets, created when it is missing.
 *
 * @returns Why there is none, as text.
 */
export async function chooseDirectory(owner: Owner): Promise<SocketDirectory | string> {
  const problems: string[] = []
  for (const place of listUsableDirectories(owner)) {
    try {
      await prepareDirectory(place, owner.uid!)
      return place
    } catch (error) {
      problems.push(`${place.path}: ${(error as Error).message}`)
    }
  }
  return problems.join('; ') || 'this system has no Unix sockets with an owner'
}

/** @throws Error when nobody may create a socket there, or others could replace one. */
export async function prepareDirectory(
  { path, kind }: SocketDirectory,
  uid: number,
): Promise<void> {
  if (Buffer.byteLength(join(path, getSocketName(LONGEST))) > MAX_PATH_BYTES) {
    throw new Error('the path is too long for a socket')
  }
  if (kind === 'ours') {
    await mkdir(path, { mode: 0o700 }).catch((error: unknown) => {
      if (getErrorCode(error) !== 'EEXIST') throw error
    })
  }
  if (!(await isOwnDirectory({ path, kind }, uid))) throw new Error('belongs to somebody else')
  await access(path, constants.W_OK | constants.X_OK)
}

// Names of sockets are equally long.
const LONGEST: Component = { service: 'xmpp://localhost', domain: 'localhost' }

/** Whether it is a directory of this user, in which others cannot put anything. */
export async function isOwnDirectory(
  { path, kind }: SocketDirectory,
  uid: number,
): Promise<boolean> {
  // A directory of systemd may be a symbolic link of systemd's. In /tmp it may be anybody's.
  const found = await (kind === 'systemd' ? stat : lstat)(path)
  return found.isDirectory() && found.uid === uid && (found.mode & OTHERS_MAY_WRITE) === 0
}
