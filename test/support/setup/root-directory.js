/**
 * Runs programs in a root directory that `debian.js` unpacked with all dependencies. There, programs use the
 * libraries of their own release, which may differ from those of the machine. The mounts are private to the program
 * and end with it.
 */

import { tmpdir } from 'node:os'
import process from 'node:process'
import { root as repository } from './process.js'

// Before the mounts, a tmpfs is mounted at /tmp. Otherwise the mount points of temporary directories, each of which
// has another name, would accumulate in the root directory.
const ENTER = `
root=$1; shift
mkdir -p "$root/tmp" && mount -t tmpfs tmpfs "$root/tmp" || exit
while [ "$1" != -- ]; do
  mkdir -p "$root$1" && mount --rbind "$1" "$root$1" || exit
  shift
done
shift; exec chroot "$root" "$@"`

/**
 * Returns the command that runs a program in a root directory. Some directories of the machine are visible there. The
 * program has the process id of the started command.
 *
 * @param {string} root
 * @param {readonly string[]} command
 * @param {readonly string[]} [seen] The visible directories of the machine. By default: devices, processes, temporary
 *   files and the repository.
 * @returns {string[]}
 */
export function inRoot(root, command, seen = ['/dev', '/proc', tmpdir(), repository]) {
  const mapped = process.getuid?.() === 0 ? [] : ['--user', '--map-root-user']
  return [
    'unshare',
    ...mapped,
    '--mount',
    'sh',
    '-c',
    ENTER,
    'sh',
    root,
    ...new Set(seen),
    '--',
    ...command,
  ]
}
