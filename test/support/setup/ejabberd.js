/**
 * A private ejabberd on loopback: unpacked with its own Erlang, its own directory, and no node name,
 * so that Erlang needs no port mapper (epmd) and accepts no connections from other nodes.
 */

import { mkdir, readdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import process from 'node:process'
import { unpack } from './debian.js'
import { launch, SetupError, temporaryDirectory, until } from './process.js'
import { inRoot } from './root-directory.js'

/** The versions in Debian 12 and 13, and the latest in Debian. */
export const ejabberdVersions = /** @type {const} */ (['23.01', '24.12', 'newest'])

/** @typedef {(typeof ejabberdVersions)[number]} EjabberdVersion */

const SUITES = { 23.01: 'bookworm', 24.12: 'trixie', newest: 'sid' }

/**
 * @param {EjabberdVersion} version
 * @param {(line: string) => void} [say]
 * @returns {Promise<string>} Its root directory.
 */
export function findEjabberd(version, say) {
  // Erlang starts programs through a shell.
  const packages = ['ejabberd', 'dash']
  return unpack('ejabberd', { packages, suite: SUITES[version], dependencies: 'all' }, say)
}

/**
 * Starts an ejabberd and waits until its accounts exist.
 *
 * @param {object} options
 * @param {EjabberdVersion} options.version
 * @param {object} options.config What ejabberd.yml says; YAML contains JSON.
 * @param {Readonly<Record<string, string>>} options.users `user@host` → password.
 */
export async function startEjabberd({ version, config, users }) {
  const root = await findEjabberd(version)
  const directory = await temporaryDirectory('prosody-exporter-ejabberd')
  const dir = directory.path
  try {
    await mkdir(join(dir, 'data'))
    await writeFile(join(dir, 'ejabberd.yml'), JSON.stringify(config))
    // The settings of Erlang's own resolver, which looks up SRV records.
    await writeFile(join(dir, 'inetrc'), '{lookup, [file]}.\n')
    const bin = await binaryDirectory(root)
    const args = [
      ...['-noinput', '+S', '1', '-mnesia', 'dir', JSON.stringify(join(dir, 'data'))],
      ...['-s', 'ejabberd', '-eval', registerAll(users)],
    ]
    const [command = '', ...rest] = inRoot(root, [`${bin}/erlexec`, ...args])
    const child = launch(command, rest, {
      cwd: dir,
      // Erlang's own script and ejabberdctl set these variables.
      env: {
        ...{ PATH: process.env.PATH, HOME: dir, ROOTDIR: '/usr/lib/erlang', BINDIR: bin },
        ...{ EMU: 'beam', PROGNAME: 'erl', ERL_CRASH_DUMP: '/dev/null' },
        ...{ ERL_LIBS: await libraryDirectory(root), ERL_INETRC: join(dir, 'inetrc') },
        ...{ EJABBERD_CONFIG_PATH: join(dir, 'ejabberd.yml') },
        ...{ EJABBERD_LOG_PATH: join(dir, 'ejabberd.log'), SCRIPT_DIR: '/usr/sbin' },
        // Only Erlang 25 needs this; later versions accept it.
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
          if (!child.running()) throw new SetupError(`ejabberd ended: ${reason(child.output())}`)
          return child.output().includes(READY)
        },
        { what: 'ejabberd has its accounts' },
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

const READY = 'All accounts are there.'
const COLOUR = /\x1b\[[\d;]*m/g

/** @param {string} root */
async function binaryDirectory(root) {
  const names = await readdir(join(root, 'usr/lib/erlang'))
  const runtime = names.find((name) => name.startsWith('erts-'))
  if (runtime === undefined) throw new SetupError(`There is no Erlang in ${root}.`)
  return `/usr/lib/erlang/${runtime}/bin`
}

/** Of the machine's architecture, where Debian has ejabberd. @param {string} root */
async function libraryDirectory(root) {
  const names = await readdir(join(root, 'usr/lib'))
  return `/usr/lib/${names.find((name) => name.includes('-linux-')) ?? ''}`
}

/** Erlang that makes the accounts. @param {Readonly<Record<string, string>>} users */
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
