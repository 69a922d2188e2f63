import { readFileSync, realpathSync, statSync } from 'node:fs'
import { dirname } from 'node:path'

export type Mount = {
  readonly point: string
  readonly type: string
  readonly isReadOnly: boolean
}

const OTHERS_MAY_WRITE = 0o022

/**
 * Whether a secret with this path can be readable by everyone, because it is mounted the way that
 * containers mount secrets: Docker and Kubernetes give such files the mode 0444, on a read-only mount
 * or in memory. Nobody can replace the file there, and whoever can see the mount may read it.
 */
export function isSecretMount(path: string): boolean {
  try {
    const file = realpathSync(path)
    const mounts = readFileSync('/proc/self/mountinfo', 'utf8')
    const directory = dirname(file)
    const isClosed =
      (statSync(directory).mode & OTHERS_MAY_WRITE) === 0 ||
      mountOf(directory, mounts)?.isReadOnly === true
    const mount = mountOf(file, mounts)
    // Under ProtectSystem= of systemd every file system is read-only. A secret has a mount of its own.
    const isOwnMount = [file, directory, dirname(directory)].some(
      (path) => path !== '/' && path === mount?.point,
    )
    return isClosed && isOwnMount && (mount?.isReadOnly === true || mount?.type === 'tmpfs')
  } catch {
    // Not Linux, or the file is gone.
    return false
  }
}

/**
 * The mount that a file is on.
 *
 * @param path Absolute, without symbolic links.
 * @param mounts The text of `/proc/self/mountinfo`, see proc_pid_mountinfo(5).
 */
export function mountOf(path: string, mounts: string): Mount | undefined {
  let found: Mount | undefined
  for (const line of mounts.split('\n')) {
    const [mount = '', filesystem = ''] = line.split(' - ')
    const [, , , , point, options = ''] = mount.split(' ').map(unescaped)
    if (point === undefined || !isWithin(path, point)) continue
    // A later line covers an earlier one with the same mount point.
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

/** Blanks and backslashes are written as `\040`. */
function unescaped(text: string): string {
  return text.replace(/\\([0-7]{3})/g, (_, octal: string) =>
    String.fromCharCode(parseInt(octal, 8)),
  )
}
