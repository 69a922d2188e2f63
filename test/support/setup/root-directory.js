/**
 * Runs programs in a root directory that `debian.js` unpacked with all dependencies. These programs need other
 * libraries than the machine has. Only the program sees the mounts, and they end with it.
 */

import { tmpdir } from 'node:os'
import process from 'node:process'
import { root as repository } from './process.js'

// Mount points below /tmp are in memory: temporary directories have new names each time, and the root directory would
// collect empty mount points.
const ENTER = `
root=$1; shift
mkdir -p "$root/tmp" && mount -t tmpfs tmpfs "$root/tmp" || exit
while [ "$1" != -- ]; do
  mkdir -p "$root$1" && mount --rbind "$1" "$root$1" || exit
  shift
done
shift; exec chroot "$root" "$@"`

/**
 * Returns a command that runs a program in the root directory, with some directories of this machine. The process id of
 * the command is the program's.
 *
 * @param {string} root
 * @param {readonly string[]} command
 * @param {readonly string[]} [seen] Default: devices, processes, temporary files and our own repository.
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
