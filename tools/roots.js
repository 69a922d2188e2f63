/**
 * `npm run test:setup`: tests whether a fresh checkout of the repository works on machines with few and with many
 * installed packages. The script creates several Debian systems. In each, as root and as an ordinary user, it runs
 * `npm start`, and one test for each program that `npm test` downloads. Needs root.
 *
 * With `-- NAME …`, it uses only the systems whose names contain one of the given names. With `--whole`, it runs the
 * complete `npm test` in each system.
 */

import { existsSync } from 'node:fs'
import { mkdir, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import process from 'node:process'
import { findCleanDebian } from '../test/support/setup/clean-debian.js'
import { acquireSettings } from '../test/support/setup/debian.js'
import {
  launch,
  networkEnvironment,
  onEnd,
  root as repository,
  run,
  runTool,
  SetupError,
  temporaryDirectory,
} from '../test/support/setup/process.js'

// These packages are those of debootstrap's smallest variant.
const BASE = ['?essential', 'apt', 'debian-archive-keyring', 'mount', 'passwd', 'login']

/** The Debian systems in which the script runs. Node.js is not a Debian package there; it is installed with npm. */
const MACHINES = [
  { name: 'bookworm-bare', suite: 'bookworm', installed: BASE, node: '20' },
  {
    name: 'bookworm-installed',
    suite: 'bookworm',
    installed: [...BASE, 'prosody', 'prometheus', 'chromium', 'lua-check'],
    node: '22',
  },
  { name: 'trixie-bare', suite: 'trixie', installed: BASE, node: '24' },
]

const USERS = /** @type {const} */ (['root', 'builder'])

/**
 * The test files that run in each system. They use each program that `npm test` downloads, and each way to download
 * one.
 */
const TESTS = [
  'test/integration/setup.test.ts', // downloads Prosody 0.12 and 13.0
  'test/integration/names.test.ts', // downloads Prosody 0.11
  'test/integration/lua.test.ts', // downloads luacheck
  'test/integration/legacy-double.test.ts', // downloads Lua 5.1
  'test/integration/prefix-and-filters.test.ts', // downloads Prometheus 2 and 3
  'test/integration/alert-silences.test.ts', // downloads Alertmanager
  'test/integration/page.test.ts', // downloads Chromium
  'test/integration/web-config.test.ts', // downloads curl and openssl
  'test/integration/exposition-reader.test.ts', // downloads Python and its Prometheus client
  'test/integration/exhaustion.test.ts', // downloads faketime
  'test/integration/outside-dns.test.ts', // downloads NSD
  'test/packaging/debian.test.ts', // downloads a small Debian
]

// This shell script enters a Debian system. It uses pivot_root(2), because a process inside of a chroot(2) cannot
// create user namespaces. The system shares the network with the machine, but has its own processes and temporary
// files, so in-root.js can detect those that npm leaves behind.
const ENTER = `
set -e
root=$1 user=$2; shift 2
mount --make-rprivate /
mount --bind "$root" "$root"
cd "$root"
mkdir -p proc dev sys tmp etc/ssl/certs old
mount -t proc proc proc
mount --rbind /dev dev
mount --rbind /sys sys
mount -t tmpfs -o mode=1777 tmpfs tmp
mount --rbind /etc/ssl/certs etc/ssl/certs
cp -L /etc/resolv.conf etc/resolv.conf
pivot_root . old
umount -l /old
id=$(id -u "$user")
# No exec: the shell is the first process of the namespace and reaps orphaned processes.
setpriv --reuid "$id" --regid "$id" --clear-groups "$@"`

/** @param {string} line */
const say = (line) => {
  console.log(`[setup] ${line}`)
}

/** @param {string} command @param {readonly string[]} args */
async function must(command, args) {
  const { code, output } = await run(command, args)
  if (code !== 0) throw new SetupError(`${command} ${args.join(' ')}: ${output.trim()}`)
}

/**
 * @param {(typeof MACHINES)[number]} machine
 * @returns {Promise<string>} The root directory, with Node.js and npm.
 */
async function prepare({ name, suite, installed, node }) {
  const root = await findCleanDebian({ name: `machine-${name}-node${node}`, suite, installed }, say)
  const local = join(root, 'usr/local')
  if (!existsSync(join(local, 'bin/npm'))) {
    say(`${name}: installing Node.js ${node} and npm …`)
    // The npm package `node` installs Node.js: its install script downloads Node.js for the architecture of the
    // machine.
    const packages = [`node@${node}`, `npm@10`]
    const options = ['--no-save', '--no-audit', '--prefix', join(local, 'lib')]
    await must('npm', ['install', ...options, ...packages])
    const modules = '../lib/node_modules'
    await must('ln', ['-sf', `${modules}/node/bin/node`, join(local, 'bin/node')])
    await must('ln', ['-sf', `${modules}/npm/bin/npx-cli.js`, join(local, 'bin/npx')])
    await must('ln', ['-sf', `${modules}/npm/bin/npm-cli.js`, join(local, 'bin/npm')])
  }
  const settings = await acquireSettings()
  await writeFile(join(root, 'etc/apt/apt.conf.d/90machine'), settings.join('\n') + '\n')
  await writeFile(join(root, 'etc/hosts'), '127.0.0.1 localhost\n::1 localhost\n')
  if (!existsSync(join(root, 'home/builder'))) {
    await must('chroot', [root, 'useradd', '--create-home', '--shell', '/bin/sh', 'builder'])
  }
  return root
}

/**
 * @param {string} root
 * @param {(typeof USERS)[number]} user
 * @param {readonly string[]} command
 */
async function enter(root, user, command) {
  const home = user === 'root' ? '/root' : `/home/${user}`
  const child = launch(
    'unshare',
    [
      ...['--mount', '--pid', '--fork', '--kill-child'],
      ...['sh', '-c', ENTER, 'sh', root, user, '--', ...command],
    ],
    {
      env: {
        ...networkEnvironment(),
        ...{ PATH: '/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin', HOME: home, USER: user },
        ...{ LC_ALL: 'C.UTF-8', CHECKOUT: join(home, 'prosody-exporter') },
      },
      onOutput: (text) => process.stdout.write(text),
    },
  )
  return { code: await child.exited, output: child.output() }
}

/**
 * @param {string} output What `npm start` and `npm test` printed.
 * @returns The part that says what failed. The test runner lists the failed tests at the end.
 */
function failures(output) {
  const from = output.lastIndexOf('failing tests:')
  return from === -1 ? output.slice(-4_000) : output.slice(from, from + 8_000)
}

/** Writes the files of the last commit to `target`, as `git clone` does. @param {string} target */
async function checkOut(target) {
  await rm(target, { recursive: true, force: true })
  await mkdir(target, { recursive: true })
  const { path, remove } = await temporaryDirectory('pe')
  try {
    const archive = join(path, 'head.tar')
    await must('git', ['-C', repository, 'archive', '--output', archive, 'HEAD'])
    await must('tar', ['-xf', archive, '-C', target])
  } finally {
    await remove()
  }
}

/** @param {readonly string[]} args */
async function test(args) {
  if (process.getuid?.() !== 0) throw new SetupError('npm run test:setup needs root.')
  const isWhole = args.includes('--whole')
  const names = args.filter((arg) => !arg.startsWith('--'))
  const chosen = MACHINES.filter(
    ({ name }) => names.length === 0 || names.some((part) => name.includes(part)),
  )
  if (chosen.length === 0) {
    throw new SetupError(
      `No Debian system has such a name. Use one of these: ${MACHINES.map(({ name }) => name).join(', ')}.`,
    )
  }
  /** @type {{ what: string, output: string }[]} */
  const failed = []
  for (const machine of chosen) {
    const root = await prepare(machine)
    for (const user of USERS) {
      const what = `${machine.name}, Node.js ${machine.node}, as ${user}`
      say(`${what} …`)
      const home = user === 'root' ? '/root' : `/home/${user}`
      const checkout = join(root, home, 'prosody-exporter')
      await checkOut(checkout)
      await must('chroot', [root, 'chown', '-R', `${user}:${user}`, join(home, 'prosody-exporter')])
      const startedAt = Date.now()
      const tests = isWhole ? [] : TESTS
      const { code, output } = await enter(root, user, [
        'node',
        join(home, 'prosody-exporter/tools/in-root.js'),
        ...tests,
      ])
      say(
        `${what}: ${code === 0 ? 'passed' : 'FAILED'} in ${Math.round((Date.now() - startedAt) / 1000)} s`,
      )
      if (code !== 0) failed.push({ what, output })
      await rm(checkout, { recursive: true })
    }
  }
  if (failed.length === 0) return 0
  // Other systems may have printed much since then, so the failures are printed again.
  for (const { what, output } of failed) say(`Failed: ${what}\n${failures(output)}`)
  return 1
}

onEnd(() => process.exit(130))
await runTool(test)
