/**
 * Programs in a root directory of their own, unpacked by `debian.js` with all that they need: for
 * those whose libraries are not the machine's. Mounts are the program's alone and end with it.
 */

import { tmpdir } from 'node:os'
import process from 'node:process'
import { root as repository } from './process.js'

// Mount points below /tmp are in memory: the name of a temporary directory is another one each time,
// and the root directory would collect them.
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
