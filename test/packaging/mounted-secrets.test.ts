// Secrets as Docker and Kubernetes mount them, in a mount namespace of the test's own.

import assert from 'node:assert/strict'
import process from 'node:process'
import { describe, test } from 'node:test'
import { launch } from '../support/setup/process.js'
import { PROGRAM } from '../support/exporter.js'

// A file system as good as a disk's: it is writable, and no tmpfs.
const DISK = 'mount -t ramfs -o mode=0755 ramfs /mnt'

// Of each mount the directory is /mnt, or what the case says.
const CASES: readonly (readonly [name: string, mount: string, isAccepted: boolean])[] = [
  ['a directory of the disk with mode 0444', DISK, false],
  ['a tmpfs, as of Docker Swarm', 'mount -t tmpfs -o mode=0755 tmpfs /mnt', true],
  ['a tmpfs that everybody may write', 'mount -t tmpfs -o mode=1777 tmpfs /mnt', false],
  [
    'a read-only tmpfs that everybody could write, as of Kubernetes',
    'mount -t tmpfs -o mode=1777 tmpfs /mnt; later="mount -o remount,bind,ro /mnt"',
    true,
  ],
  [
    'a file that is mounted read-only, as of Docker Compose',
    `${DISK}; later="mount --bind /mnt/file /mnt/file; mount -o remount,bind,ro /mnt/file"`,
    true,
  ],
]

describe('a secret that everybody may read', { concurrency: 2 }, () => {
  for (const [name, mount, isAccepted] of CASES) {
    test(`${isAccepted ? 'is accepted' : 'is refused'} in ${name}`, async () => {
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
