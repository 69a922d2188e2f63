// Tests secret files on file systems like those of Docker and Kubernetes, each in a new mount namespace.

import assert from 'node:assert/strict'
import process from 'node:process'
import { describe, test } from 'node:test'
import { launch } from '../support/setup/process.js'
import { PROGRAM } from '../support/exporter.js'

// A ramfs stands for a file system on a disk, because it is writable and not a tmpfs.
const DISK = 'mount -t ramfs -o mode=0755 ramfs /mnt'

// In each case, the test mounts a file system at /mnt and the secret file is on it.
const CASES: readonly (readonly [name: string, mount: string, isAccepted: boolean])[] = [
  ['a file on a disk', DISK, false],
  ['a tmpfs, as with Docker Swarm', 'mount -t tmpfs -o mode=0755 tmpfs /mnt', true],
  ['a world-writable tmpfs', 'mount -t tmpfs -o mode=1777 tmpfs /mnt', false],
  [
    'a read-only, world-writable tmpfs, as with Kubernetes',
    'mount -t tmpfs -o mode=1777 tmpfs /mnt; later="mount -o remount,bind,ro /mnt"',
    true,
  ],
  [
    'a file that is mounted read-only, as with Docker Compose',
    `${DISK}; later="mount --bind /mnt/file /mnt/file; mount -o remount,bind,ro /mnt/file"`,
    true,
  ],
]

describe('a secret file that every user can read', { concurrency: 2 }, () => {
  for (const [name, mount, isAccepted] of CASES) {
    test(`the exporter ${isAccepted ? 'accepts' : 'refuses'} a secret file that every user can read, in ${name}`, async () => {
      const script = `
set -e
later=true
${mount}
mkdir /mnt/..data
echo fish >/mnt/..data/file
ln -s ..data/file /mnt/link
mv /mnt/..data/file /mnt/file
ln -s ../file /mnt/..data/file
chmod 444 /mnt/file
eval "$later"
"$@" --config.check --xmpp.domain=stats.example.com --xmpp.secret-file=/mnt/link`
      const child = launch('unshare', [
        ...['--mount', '--map-root-user', 'sh', '-c', script, 'sh'],
        ...[process.execPath, ...PROGRAM],
      ])
      const code = await child.exited
      if (isAccepted) assert.equal(code, 0, child.output())
      else {
        assert.equal(code, 1, child.output())
        assert.match(child.output(), /chmod 600.*in a container mount it read-only/)
      }
    })
  }
})
