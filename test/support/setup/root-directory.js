/**
 * Runs programs in a root directory that `debian.js` unpacked with all dependencies, because the machine may have
 * other versions of their libraries. The mounts are private to the program and end with it.
 */

import { tmpdir } from 'node:os'
import process from 'node:process'
import { root as repository } from './process.js'

// Mount points below /tmp are in a tmpfs. Otherwise, mount points of temporary directories would accumulate in the
// root directory, because each has another name.
const ENTER = `
root=$1; shift
mkdir -p "$root/tmp" && mount -t tmpfs tmpfs "$root/tmp" || exit
while [ "$1" != -- ]; do
  mkdir -p "$root$1" && mount --rbind "$1" "$root$1" || exit
  shift
done
shift; exec chroot "$root" "$@"`

/**
 * The command that runs a program in this root directory, with some directories of the machine. The program has the
 * process id of the started command.
 *
 * @param {string} root
 * @param {readonly string[]} command
 * @param {readonly string[]} [seen] Visible directories of the machine. Default: devices, processes, temporary files
 *   and the repository.
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
