/**
 * Runs a real systemd as the first process of a root directory, in its own namespaces and control group. It shares only
 * the network with this machine, or nothing when it has its own network. It requires root.
 */

import { readFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import process from 'node:process'
import { launch, run, SetupError, until } from './process.js'

// The group is created in the machine's tree; systemd sees it as the root of its tree.
const IN_GROUP = `
set -e
root=$1 group=$2 boot=$3; shift 3
mount --make-rprivate /
mkdir -p "$root/sys/fs/cgroup"
mount -t cgroup2 cgroup2 "$root/sys/fs/cgroup"
mkdir "$root/sys/fs/cgroup/$group"
echo $$ > "$root/sys/fs/cgroup/$group/cgroup.procs"
umount "$root/sys/fs/cgroup"
exec unshare --cgroup --pid --ipc --uts "$@" --fork --kill-child sh -c "$boot" sh "$root"`

// /proc/sys and /sys are read-only, so that systemd cannot change settings of the machine.
const BOOT = `
set -e
cd "$1"
mount --bind . .
cd "$1"
mkdir -p proc sys dev run tmp root old
# Without it systemd takes this for a first boot and enables all there is.
echo 0123456789abcdef0123456789abcdef > etc/machine-id
mount -t proc proc proc
mount --bind proc/sys proc/sys
mount -o remount,bind,ro proc/sys
mount -t sysfs -o ro sysfs sys
mount -t cgroup2 cgroup2 sys/fs/cgroup
for each in run tmp dev; do mount -t tmpfs tmpfs $each; done
for each in null zero full random urandom tty; do
  touch dev/$each
  mount --bind /dev/$each dev/$each
done
ln -s /proc/self/fd dev/fd
mkdir dev/shm dev/pts dev/mqueue
mount -t tmpfs tmpfs dev/shm
mount -t devpts -o newinstance,ptmxmode=0666 devpts dev/pts
ln -s pts/ptmx dev/ptmx
pivot_root . old
umount -l /old
# Credentials are mounted in one namespace and seen in another.
mount --make-rshared /
exec env -i container=other PATH=/usr/bin:/usr/sbin /usr/lib/systemd/systemd --unit=multi-user.target`

const REMOVE_GROUP = `
set -e
mount --make-rprivate /
mount -t cgroup2 cgroup2 "$1"
find "$1/$2" -depth -type d -exec rmdir {} +`

/**
 * Boots systemd; resolves when it has reached its target.
 *
 * @param {string} root The root directory, which it changes.
 * @param {{ network?: 'host' | 'own' }} [options] `own`: a network with a loopback interface only, on which
 *   all ports are free. Default: the network of the host.
 */
export async function bootSystemd(root, { network = 'host' } = {}) {
  const group = `prosody-exporter-${process.pid}`
  const started = launch('unshare', [
    ...['--mount', 'sh', '-c', IN_GROUP, 'sh', root, group, BOOT],
    ...(network === 'own' ? ['--net'] : []),
  ])
  /** @param {string} which @param {readonly string[]} command */
  const enter = async (which, command) => {
    const path = `/proc/${started.pid}/task/${started.pid}/children`
    const pid = Number.parseInt(await readFile(path, 'utf8'), 10)
    return ['nsenter', `--target=${pid}`, which, '--', ...command]
  }
  /** @param {readonly string[]} command @param {string} [input] Its whole standard input. */
  const inside = async (command, input) => {
    const [program = '', ...args] = await enter('--all', command)
    return await run(program, args, input === undefined ? {} : { input })
  }
  /** Returns a command that runs a program of the host in the network of the system. @param {readonly string[]} command */
  const outside = (command) => enter('--net', command)
  const stop = async () => {
    started.kill('SIGKILL')
    await started.exited
    await until(
      async () =>
        (await run('unshare', ['--mount', 'sh', '-c', REMOVE_GROUP, 'sh', tmpdir(), group]))
          .code === 0,
      { what: 'the control group is gone' },
    )
  }
  try {
    await until(
      async () => {
        if (!started.running()) throw new SetupError(`systemd ended: ${started.output().trim()}`)
        const { stdout } = await inside(['systemctl', 'is-system-running']).catch(() => ({
          stdout: '',
        }))
        return /^(running|degraded)/.test(stdout)
      },
      { what: 'systemd runs' },
    )
  } catch (error) {
    await stop()
    throw error
  }
  return { inside, outside, stop }
}
