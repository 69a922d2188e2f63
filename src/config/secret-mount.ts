import { readFileSync, realpathSync, statSync } from 'node:fs'
import { dirname } from 'node:path'

export type Mount = {
  readonly point: string
  readonly type: string
  readonly isReadOnly: boolean
}

const OTHERS_CAN_WRITE = 0o022

/**
 * Returns whether a file is mounted in the way that containers mount secrets. Docker and Kubernetes give a secret a
 * mode that lets everyone read, on a read-only mount or on a tmpfs. The exporter accepts this mode on such a mount,
 * because no other user can replace the file, and everyone who can see the mount is allowed to read it.
 */
export function isSecretMount(path: string): boolean {
  try {
    const file = realpathSync(path)
    const mounts = readFileSync('/proc/self/mountinfo', 'utf8')
    const directory = dirname(file)
    const isProtected =
      (statSync(directory).mode & OTHERS_CAN_WRITE) === 0 ||
      findMount(directory, mounts)?.isReadOnly === true
    const mount = findMount(file, mounts)
    // With ProtectSystem=strict of systemd, almost every file system is read-only. So only a mount of the file, of its
    // directory or of the directory above counts.
    const isOwnMount = [file, directory, dirname(directory)].some(
      (path) => path !== '/' && path === mount?.point,
    )
    return isProtected && isOwnMount && (mount?.isReadOnly === true || mount?.type === 'tmpfs')
  } catch {
    // This line is reached on a system without /proc, or if the file does not exist.
    return false
  }
}

/**
 * Finds the mount that holds a file.
 *
 * @param path An absolute path without symbolic links.
 * @param mounts The text of `/proc/self/mountinfo`, see proc_pid_mountinfo(5).
 */
export function findMount(path: string, mounts: string): Mount | undefined {
  let found: Mount | undefined
  for (const line of mounts.split('\n')) {
    const [mount = '', filesystem = ''] = line.split(' - ')
    const [, , , , point, options = ''] = mount.split(' ').map(unescapeField)
    if (point === undefined || !isWithin(path, point)) continue
    // A later mount hides an earlier one at the same mount point.
    if (found && found.point.length > point.length) continue
    const [type = '', , superOptions = ''] = filesystem.split(' ')
    const isReadOnly = [options, superOptions].some((text) => text.split(',').includes('ro'))
    found = { point, type, isReadOnly }
  }
  return found
}

function isWithin(path: string, directory: string): boolean {
  return path === directory || path.startsWith(directory === '/' ? '/' : `${directory}/`)
}

// The kernel writes a space as `\040`, and a backslash as `\134`.
function unescapeField(text: string): string {
  return text.replace(/\\([0-7]{3})/g, (_, octal: string) =>
    String.fromCharCode(parseInt(octal, 8)),
  )
}
