/**
 * Starts a private ejabberd on loopback from unpacked packages, with its own Erlang and its own directory. It has no
 * Erlang node name, so it needs no port mapper (epmd), and other Erlang nodes cannot connect to it.
 */

import { mkdir, readdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import process from 'node:process'
import { unpack } from './debian.js'
import { launch, SetupError, temporaryDirectory, until } from './process.js'
import { inRoot } from './root-directory.js'

/**
 * The versions of ejabberd that the tests run: those of Debian 12 and Debian 13, and the latest version in Debian.
 */
export const ejabberdVersions = /** @type {const} */ (['23.01', '24.12', 'newest'])

/** @typedef {(typeof ejabberdVersions)[number]} EjabberdVersion */

const SUITES = { 23.01: 'bookworm', 24.12: 'trixie', newest: 'sid' }

/**
 * @param {EjabberdVersion} version
 * @param {(line: string) => void} [say]
 * @returns {Promise<string>} The root directory.
 */
export function findEjabberd(version, say) {
  // The package dash provides the shell through which Erlang starts programs.
  const packages = ['ejabberd', 'dash']
  return unpack('ejabberd', { packages, suite: SUITES[version], dependencies: 'all' }, say)
}

/**
 * Starts an ejabberd and waits until its accounts exist.
 *
 * @param {object} options
 * @param {EjabberdVersion} options.version
 * @param {object} options.config The content of ejabberd.yml, written as JSON, which is valid YAML.
 * @param {Readonly<Record<string, string>>} options.users The accounts to create. A key is the JID of an account,
 *   and its value is the password.
 * @param {(command: readonly string[]) => string[]} [options.wrap] Returns the command that runs ejabberd's command
 *   elsewhere, for example in a network namespace.
 */
export async function startEjabberd({ version, config, users, wrap = (command) => [...command] }) {
  const root = await findEjabberd(version)
  const directory = await temporaryDirectory('prosody-exporter-ejabberd')
  const dir = directory.path
  try {
    await mkdir(join(dir, 'data'))
    await writeFile(join(dir, 'ejabberd.yml'), JSON.stringify(config))
    // This file configures Erlang's own DNS resolver, which ejabberd uses for SRV records.
    await writeFile(join(dir, 'inetrc'), '{lookup, [file]}.\n')
    const bin = await binaryDirectory(root)
    const args = [
      ...['-noinput', '+S', '1', '-mnesia', 'dir', JSON.stringify(join(dir, 'data'))],
      ...['-s', 'ejabberd', '-eval', registerAll(users)],
    ]
    const [command = '', ...rest] = wrap(inRoot(root, [`${bin}/erlexec`, ...args]))
    const child = launch(command, rest, {
      cwd: dir,
      // Erlang's start script and ejabberdctl normally set these environment variables.
      env: {
        ...{ PATH: process.env.PATH, HOME: dir, ROOTDIR: '/usr/lib/erlang', BINDIR: bin },
        ...{ EMU: 'beam', PROGNAME: 'erl', ERL_CRASH_DUMP: '/dev/null' },
        ...{ ERL_LIBS: await libraryDirectory(root), ERL_INETRC: join(dir, 'inetrc') },
        ...{ EJABBERD_CONFIG_PATH: join(dir, 'ejabberd.yml') },
        ...{ EJABBERD_LOG_PATH: join(dir, 'ejabberd.log'), SCRIPT_DIR: '/usr/sbin' },
        // ejabberd needs this flag on Erlang 25. Later versions of Erlang accept the flag, but do not need it.
        ERL_FLAGS: '-enable-feature maybe_expr',
      },
    })
    const stop = async () => {
      await child.stop()
      await directory.remove()
    }
    try {
      await until(
        () => {
          if (!child.running()) throw new SetupError(`ejabberd exited: ${reason(child.output())}`)
          return child.output().includes(READY)
        },
        { what: 'ejabberd has created its accounts' },
      )
    } catch (error) {
      await stop()
      throw error
    }
    return { dir, pid: child.pid, log: () => child.output().replaceAll(COLOUR, ''), stop }
  } catch (error) {
    await directory.remove()
    throw error
  }
}

const READY = 'All accounts exist.'
const COLOUR = /\x1b\[[\d;]*m/g

/** @param {string} root */
async function binaryDirectory(root) {
  const names = await readdir(join(root, 'usr/lib/erlang'))
  const runtime = names.find((name) => name.startsWith('erts-'))
  if (runtime === undefined) throw new SetupError(`No Erlang found in ${root}.`)
  return `/usr/lib/erlang/${runtime}/bin`
}

/** Returns the directory in which Debian installs the libraries of ejabberd. @param {string} root */
async function libraryDirectory(root) {
  const names = await readdir(join(root, 'usr/lib'))
  return `/usr/lib/${names.find((name) => name.includes('-linux-')) ?? ''}`
}

/** Returns Erlang code that creates the accounts. @param {Readonly<Record<string, string>>} users */
function registerAll(users) {
  const calls = Object.entries(users).map(([jid, password]) => {
    const words = [...jid.split('@'), password].map((word) => `<<"${word}">>`)
    return `ok = ejabberd_auth:try_register(${words.join(', ')})`
  })
  return [...calls, `io:format("${READY}~n").`].join(', ')
}

/** @param {string} log */
function reason(log) {
  const lines = log.replaceAll(COLOUR, '').trimEnd().split('\n')
  return (lines.find((line) => /\[(error|critical)\]/.test(line)) ?? lines.at(-1) ?? '').trim()
}
