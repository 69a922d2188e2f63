/**
 * Creates a clean Debian with apt, as its installer does: the packages' own scripts configure them. `debian.js` only
 * unpacks programs; this is a machine on which tests act like a user. It requires root.
 */

import { existsSync } from 'node:fs'
import { cp, mkdir, rename, rm, writeFile } from 'node:fs/promises'
import { basename, join } from 'node:path'
import process from 'node:process'
import { aptState, cache, download, hashOf, lock } from './debian.js'
import { run, SetupError } from './process.js'
import { inRoot } from './root-directory.js'

/**
 * @typedef {object} CleanDebian
 * @property {string} name Of the directory below `.cache`, before a hash.
 * @property {string} suite
 * @property {readonly string[]} installed
 * @property {readonly string[]} [onHand] Packages that `apt-get install` finds there without a network.
 */

/** The machine of a new user. @type {CleanDebian} */
export const USERS_DEBIAN = {
  name: 'clean-trixie',
  suite: 'trixie',
  installed: ['?essential', 'apt', 'debian-archive-keyring', 'systemd', 'iproute2'],
  onHand: [
    ...['nodejs', 'prosody', 'prometheus', 'procps'],
    ...['apache2-utils', 'whois', 'openssl', 'curl'],
  ],
}

/**
 * @param {CleanDebian} debian
 * @param {(line: string) => void} [say] Told when something is fetched.
 * @returns {Promise<string>} Its root directory, to be copied.
 */
export async function findCleanDebian(
  { name, suite, installed, onHand = [] },
  say = () => undefined,
) {
  const target = join(cache, `${name}-${hashOf([suite, installed, onHand])}`)
  if (existsSync(target)) return target
  const unlock = await lock()
  try {
    if (existsSync(target)) return target
    say(`Fetching a clean Debian ${suite} (${name}) into .cache …`)
    const partial = `${target}.partial`
    await rm(partial, { recursive: true, force: true })
    const archives = join(partial, 'var/cache/apt/archives')
    await mkdir(archives, { recursive: true })
    const wanted = { packages: installed, suite, dependencies: /** @type {const} */ ('all') }
    await install(partial, await fetch(wanted, archives))
    if (onHand.length > 0) await fetch({ ...wanted, packages: [...installed, ...onHand] }, archives)
    else await rm(archives, { recursive: true })
    // Copy apt's package lists, so that `apt-get update` is not needed.
    const state = aptState(wanted)
    await cp(join(state, 'lists'), join(partial, 'var/lib/apt/lists'), { recursive: true })
    const sources = 'etc/apt/sources.list.d'
    await cp(join(state, 'sources'), join(partial, sources), { recursive: true })
    await rename(partial, target)
    return target
  } finally {
    await unlock()
  }
}

/**
 * @param {import('./debian.js').Unpackable} wanted
 * @param {string} archives Where to put them.
 * @returns {Promise<string[]>} Their names.
 */
async function fetch(wanted, archives) {
  const debs = await download(wanted, 'the network is needed once')
  for (const deb of debs) {
    await cp(deb, join(archives, basename(deb)))
    await rm(deb)
  }
  return debs.map((deb) => basename(deb))
}

/**
 * Unpacked first so that dpkg is there, then installed by it: those that the scripts of the others
 * need come first.
 *
 * @param {string} root
 * @param {readonly string[]} names
 */
async function install(root, names) {
  /** @param {...string} command */
  const inside = async (...command) => {
    const [program = '', ...args] = inRoot(root, command, ['/dev', '/proc'])
    const env = { PATH: '/usr/sbin:/usr/bin:/sbin:/bin', DEBIAN_FRONTEND: 'noninteractive' }
    const { code, output } = await run(program, args, { env })
    if (code !== 0) throw new SetupError(`${command.join(' ')}: ${output.trim()}`)
  }
  if (process.getuid?.() !== 0) throw new SetupError('A clean Debian is made by root only.')
  const first = names.filter((name) => /^base-(files|passwd)_/.test(name))
  const archive = (/** @type {string} */ name) => `/var/cache/apt/archives/${name}`
  for (const name of [...first.sort(), ...names.filter((each) => !first.includes(each))]) {
    const { code, output } = await run('dpkg', ['-x', join(root, archive(name)), root])
    if (code !== 0) throw new SetupError(output.trim())
  }
  for (const name of ['info', 'updates', 'triggers']) {
    await mkdir(join(root, 'var/lib/dpkg', name), { recursive: true })
  }
  await writeFile(join(root, 'var/lib/dpkg/status'), '')
  // dpkg need not sync its files: this system is temporary.
  await writeFile(join(root, 'etc/dpkg/dpkg.cfg.d/test'), 'force-unsafe-io\n')
  // No package starts its service. @see policy-rc.d(8)
  const policy = join(root, 'usr/sbin/policy-rc.d')
  await writeFile(policy, '#!/bin/sh\nexit 101\n', { mode: 0o755 })
  for (const part of [first.sort().reverse(), names]) {
    await inside('dpkg', '--force-depends', '--install', ...part.map(archive))
  }
  await rm(policy)
}
