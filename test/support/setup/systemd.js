/**
 * Boots a real systemd in a root directory, with its own namespaces and its own control group. With the machine it
 * shares only the network, or nothing if it has its own network. Needs root.
 */

import { readFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import process from 'node:process'
import { launch, run, SetupError, until } from './process.js'

// This shell script creates the control group in the complete hierarchy of the machine. systemd then sees this control group
// as the root of the hierarchy.
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

// This shell script starts systemd. It mounts /proc/sys and /sys read-only, so that systemd cannot change settings of the machine.
const BOOT = `
set -e
cd "$1"
mount --bind . .
cd "$1"
mkdir -p proc sys dev run tmp root old
# Without a machine id, systemd assumes a first boot and enables all units.
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
# Services need shared mounts: systemd mounts credentials in one mount namespace for use in another.
mount --make-rshared /
exec env -i container=other PATH=/usr/bin:/usr/sbin /usr/lib/systemd/systemd --unit=multi-user.target`

const REMOVE_GROUP = `
set -e
mount --make-rprivate /
mount -t cgroup2 cgroup2 "$1"
find "$1/$2" -depth -type d -exec rmdir {} +`

/**
 * Starts systemd, and resolves when systemd has started all units of its default target.
 *
 * @param {string} root The root directory. systemd changes files in it.
 * @param {{ network?: 'machine' | 'own' }} [options] `own` is a separate network with only a loopback interface, so
 *   all ports are free. Default: `machine`.
 */
export async function bootSystemd(root, { network = 'machine' } = {}) {
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
  /** @param {readonly string[]} command @param {string} [input] The complete standard input of the program. */
  const inside = async (command, input) => {
    const [program = '', ...args] = await enter('--all', command)
    return await run(program, args, input === undefined ? {} : { input })
  }
  /**
   * Returns the command that runs a program of the machine in the network of systemd.
   *
   * @param {readonly string[]} command
   */
  const outside = (command) => enter('--net', command)
  const stop = async () => {
    started.kill('SIGKILL')
    await started.exited
    await until(
      async () =>
        (await run('unshare', ['--mount', 'sh', '-c', REMOVE_GROUP, 'sh', tmpdir(), group]))
          .code === 0,
      { what: 'the control group is removed' },
    )
  }
  try {
    await until(
      async () => {
        if (!started.running()) throw new SetupError(`systemd exited: ${started.output().trim()}`)
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
