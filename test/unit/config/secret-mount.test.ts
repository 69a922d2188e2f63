import assert from 'node:assert/strict'
import { test } from 'node:test'
import { findMount } from '../../../src/config/secret-mount.js'

// The format of proc_pid_mountinfo(5). A dash ends the optional fields.
const MOUNTS = `\
21 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw
22 21 0:20 / /run rw,nosuid shared:2 - tmpfs tmpfs rw,size=1024k
23 22 0:21 / /run/secrets ro,relatime - tmpfs tmpfs rw
24 21 8:2 / /with\\040blank rw shared:3 master:1 - ext4 /dev/sdb ro
25 21 8:3 / /srv rw - ext4 /dev/sdc rw
26 25 8:4 / /srv ro - ext4 /dev/sdd rw
27 21 8:5 /one /srv/file ro - ext4 /dev/sde rw
`

test('a file belongs to the innermost mount, and to the later of two mounts at one mount point', () => {
  const cases = [
    ['/etc/secret', '/', 'ext4', false],
    ['/run/secret', '/run', 'tmpfs', false],
    ['/run/secrets/secret', '/run/secrets', 'tmpfs', true],
    ['/run/secrets-of-others/secret', '/run', 'tmpfs', false],
    ['/with blank/secret', '/with blank', 'ext4', true],
    ['/srv/secret', '/srv', 'ext4', true],
    ['/srv/file', '/srv/file', 'ext4', true],
  ] as const
  for (const [path, point, type, isReadOnly] of cases) {
    assert.deepEqual(findMount(path, MOUNTS), { point, type, isReadOnly }, path)
  }
  assert.equal(findMount('/etc/secret', ''), undefined)
})
