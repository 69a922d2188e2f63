/**
 * Starts a machine of an operator for a test: a small Debian with Prosody in its stock configuration, on which systemd
 * does not run. `service prosody start` starts Prosody. The machine has its own processes and its own network, so
 * Prosody uses its default ports. It starts in seconds, in contrast to `machine.ts`.
 */

import { appendFile, chmod, chown, mkdir, readFile, rm, symlink, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import process from 'node:process'
import { listFiles } from './file-listing.js'
import { findProsody } from './setup/installation.js'
import { launch, root as repository, run, until, type Child } from './setup/process.js'
import { withSmallDebian } from './small-debian.js'
import type { Version } from './prosody.js'

export type Ended = {
  readonly code: number | NodeJS.Signals
  readonly stdout: string
  readonly stderr: string
}

export type StockMachine = {
  /** The path of the machine's root directory on the host. */
  readonly root: string
  /** Runs a program as root on the machine. The result has the exit code if the program fails. */
  attempt(...command: string[]): Promise<Ended>
  /** Runs a program as root on the machine and returns its output. Throws an error if the program fails. */
  run(...command: string[]): Promise<string>
  /** Starts a program as root on the machine, with a terminal. */
  open(...command: string[]): Child
  /** Returns the command that runs a program of the host with the processes and the network of the machine. */
  outside(command: readonly string[]): string[]
  /** Runs `prosody-exporter` from the checkout. */
  exporter(...args: string[]): Promise<Ended>
  write(path: string, text: string): Promise<void>
  append(path: string, text: string): Promise<void>
  /** Adds text at the beginning of a file. In Prosody's configuration, the global section is there. */
  prepend(path: string, text: string): Promise<void>
  read(path: string): Promise<string>
  remove(path: string): Promise<void>
  /** Lists all files that `prosody-exporter setup` could change, without Prosody's own data. */
  list(): Promise<string[]>
  /** Restores these files as they were when the machine started. */
  reset(): Promise<void>
}

export const CONFIG = '/etc/prosody/prosody.cfg.lua'
export const EXPORTER = ['/usr/bin/node', join(repository, 'dist/main.js')]

/** The directories that setup could change. */
const LISTED = ['/etc', '/usr/lib/prosody', '/usr/local', '/var/lib', '/root']

const ENV = {
  PATH: '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin',
  HOME: '/root',
  LC_ALL: 'C',
}

// This shell script makes a directory the root directory of a machine. Then it waits until it is killed, and reaps
// processes whose parents have ended, like every first process. Perl turns on the loopback interface (SIOCSIFFLAGS of netdevice(7)), because it is part of every Debian, in contrast to ip(8).
const BOOT = `
set -e
root=$1 repository=$2
perl -e 'socket(S, 2, 2, 0) && ioctl(S, 0x8914, $_ = pack("a16sx22", "lo", 1)) or die "$!\\n"'
mount --make-rprivate /
mount --bind "$root" "$root"
cd "$root"
mkdir -p proc dev run tmp old
mount --rbind /dev dev
mount -t proc proc proc
for each in run tmp; do mount -t tmpfs tmpfs $each; done
mkdir -p ".$repository"
mount --bind "$repository" ".$repository"
pivot_root . old
umount -l /old
echo ready
sleep infinity & wait`

// These are the functions that Debian's script /etc/init.d/prosody uses. Their package, sysvinit-utils, is not part of
// the small Debian.
const INIT_FUNCTIONS = `
log_daemon_msg() { echo "$1"; }
log_end_msg() { return "$1"; }
`

/**
 * @param options.version The version of Prosody. Without a version, the machine has no Prosody.
 */
export async function withStockMachine(
  t: { after(end: () => Promise<void>): void },
  { version }: { readonly version?: Version },
): Promise<StockMachine> {
  const ends: (() => Promise<void>)[] = []
  t.after(async () => {
    for (const end of ends.reverse()) await end()
  })
  const { root } = await withSmallDebian({ after: (end) => ends.push(end) })
  // These directories are part of every Debian.
  for (const name of ['usr/local/lib', 'root']) await mkdir(join(root, name), { recursive: true })
  const isRoot = process.getuid?.() === 0
  // Without root, the machine has only one user.
  const id = isRoot ? 102 : 0
  if (version !== undefined) await addProsody(root, version, id)
  const namespaces = ['--mount', '--net', '--pid', '--ipc', '--fork', '--kill-child']
  const boot = ['sh', '-c', BOOT, 'sh', root, repository]
  const started = launch('unshare', [
    ...(isRoot ? [] : ['--user', '--map-root-user']),
    ...namespaces,
    ...boot,
  ])
  ends.push(() => started.stop(0))
  const pid = await until(() => findInit(started), { what: 'the machine runs' })
  const enter = (which: readonly string[]) => [
    'nsenter',
    `--target=${pid}`,
    ...(isRoot ? [] : ['--user', '--preserve-credentials']),
    ...which,
    '--',
  ]
  const inside = (command: readonly string[]) => {
    const variables = Object.entries(ENV).map(([name, value]) => `${name}=${value}`)
    return [...enter(['--mount', '--net', '--pid', '--ipc']), 'env', '-i', ...variables, ...command]
  }
  const attempt: StockMachine['attempt'] = async (...command) => {
    const [program = '', ...args] = inside(command)
    const child = launch(program, args)
    const code = await child.exited
    return { code, stdout: child.stdout(), stderr: child.stderr() }
  }
  const must: StockMachine['run'] = async (...command) => {
    const { code, stdout, stderr } = await attempt(...command)
    if (code !== 0) throw new Error(`${command.join(' ')}: ${String(code)}\n${stdout}${stderr}`)
    return stdout
  }
  const at = (path: string) => join(root, path)
  const changeable = ['etc', 'usr/local', 'var/lib', 'var/log', 'root']
  const saved = `${root}.saved`
  const copy = (from: string, to: string) => copyDirectories(from, to, changeable)
  await copy(root, saved)
  return {
    root,
    attempt,
    run: must,
    open(...command) {
      // script(1) of util-linux gives the program a terminal, so Ctrl-C and passwords work.
      const words = inside(command).map((word) => `'${word.replaceAll("'", "'\\''")}'`)
      const args = ['--quiet', '--return', '--flush', '--command', words.join(' '), '/dev/null']
      return launch('script', args, { hasInput: true })
    },
    outside: (command) => [...enter(['--net', '--pid']), ...command],
    exporter: (...args) => attempt(...EXPORTER, ...args),
    async write(path, text) {
      await mkdir(dirname(at(path)), { recursive: true })
      await writeFile(at(path), text)
    },
    append: (path, text) => appendFile(at(path), text),
    prepend: (path, text) => prepend(at(path), text),
    read: (path) => readFile(at(path), 'utf8'),
    remove: (path) => rm(at(path), { recursive: true }),
    list: () => listFiles(root, LISTED, (path) => path === '/var/lib/prosody'),
    reset: () => copy(saved, root),
  }
}

async function copyDirectories(from: string, to: string, names: readonly string[]): Promise<void> {
  for (const name of names) {
    await rm(join(to, name), { recursive: true, force: true })
    await mkdir(join(to, name, '..'), { recursive: true })
    const { code, output } = await run('cp', ['-a', join(from, name), join(to, name)])
    if (code !== 0) throw new Error(output)
  }
}

async function prepend(file: string, text: string): Promise<void> {
  await writeFile(file, text + (await readFile(file, 'utf8')))
}

/** Returns the process id of the first process on the machine, as soon as the machine is complete. */
async function findInit(started: Child): Promise<number | undefined> {
  if (!started.running()) throw new Error(`The machine does not start: ${started.output()}`)
  if (!started.stdout().includes('ready')) return undefined
  const children = `/proc/${started.pid}/task/${started.pid}/children`
  return Number.parseInt(await readFile(children, 'utf8'), 10)
}

/**
 * Installs Prosody in a root directory. Creates the user, the directories and the modes like the script postinst of
 * Debian's package, which does not run here.
 *
 * @param id The id of the user and the group of Prosody.
 */
async function addProsody(root: string, version: Version, id: number): Promise<void> {
  const { root: unpacked } = await findProsody(version)
  // The libraries of the small Debian are newer than those of Prosody's packages, so they stay.
  const copy = 'tar -C "$1" -cf - . | tar -C "$2" -xf - --skip-old-files'
  for (const [from, to] of [['etc/prosody'], ['usr'], ['lib', 'usr/lib']] as const) {
    const target = join(root, to ?? from)
    await mkdir(target, { recursive: true })
    const { code, output } = await run('sh', ['-c', copy, 'sh', join(unpacked, from), target])
    if (code !== 0) throw new Error(output)
  }
  const script = 'etc/init.d/prosody'
  // The script of Debian 12 expects the process name lua5.2, so it would not find Prosody.
  const text = await readFile(join(unpacked, script), 'utf8')
  await writeFile(join(root, script), text.replaceAll('lua5.2', 'lua5.4'), { mode: 0o755 })
  await writeFile(join(root, 'usr/lib/lsb/init-functions'), INIT_FUNCTIONS)
  await appendFile(join(root, 'etc/passwd'), `prosody:x:${id}:${id}::/var/lib/prosody:/bin/false\n`)
  await appendFile(join(root, 'etc/group'), `adm:x:4:\nprosody:x:${id}:\n`)
  const own = async (path: string, mode: number, owner = 0) => {
    await mkdir(join(root, path), { recursive: true })
    await chmod(join(root, path), mode)
    if (id !== 0) await chown(join(root, path), owner, id)
  }
  for (const path of ['var/lib/prosody', 'var/log/prosody']) await own(path, 0o750, id)
  for (const path of ['etc/prosody/conf.d', 'etc/prosody/conf.avail']) await own(path, 0o754)
  await own('etc/prosody/certs', 0o750)
  if (id === 0) await prepend(join(root, CONFIG), 'run_as_root = true\n')
  await chmod(join(root, CONFIG), 0o640)
  if (id !== 0) await chown(join(root, CONFIG), 0, id)
  await symlink(
    '../conf.avail/localhost.cfg.lua',
    join(root, 'etc/prosody/conf.d/localhost.cfg.lua'),
  )
}
