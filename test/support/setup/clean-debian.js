/**
 * Creates the root directory of a clean Debian with apt, as the Debian installer does. In contrast to `debian.js`,
 * dpkg installs each package and runs its scripts. Tests use the result as the machine of a user. Needs root.
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
 * @property {string} name The first part of the name of the directory below `.cache`. A hash follows it.
 * @property {string} suite
 * @property {readonly string[]} installed
 * @property {readonly string[]} [onHand] Packages that are not installed, but that
 *   `apt-get install` can install without a network.
 */

/** The Debian of a new user's machine, on which tests install the exporter. @type {CleanDebian} */
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
 * @param {(line: string) => void} [say] Called before a download.
 * @returns {Promise<string>} The root directory. Copy it before you change it.
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
    say(`Downloading a clean Debian ${suite} (${name}) to .cache …`)
    const partial = `${target}.partial`
    await rm(partial, { recursive: true, force: true })
    const archives = join(partial, 'var/cache/apt/archives')
    await mkdir(archives, { recursive: true })
    const wanted = { packages: installed, suite, dependencies: /** @type {const} */ ('all') }
    await install(partial, await fetch(wanted, archives))
    if (onHand.length > 0) await fetch({ ...wanted, packages: [...installed, ...onHand] }, archives)
    else await rm(archives, { recursive: true })
    // With a copy of apt's package lists, the machine does not need `apt-get update`, for which it has no network.
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
 * @param {string} archives The target directory.
 * @returns {Promise<string[]>} The names of the files.
 */
async function fetch(wanted, archives) {
  const debs = await download(wanted, 'The first run needs the network')
  for (const deb of debs) {
    await cp(deb, join(archives, basename(deb)))
    await rm(deb)
  }
  return debs.map((deb) => basename(deb))
}

/**
 * Installs packages into an empty root directory. First unpacks all packages, so that dpkg exists there. Then dpkg
 * installs them: first the packages that the scripts of the other packages need, then the others.
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
  if (process.getuid?.() !== 0) throw new SetupError('Creating a clean Debian needs root.')
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
  // The setting makes dpkg faster: it does not sync files to disk, because this system need not survive a power
  // failure.
  await writeFile(join(root, 'etc/dpkg/dpkg.cfg.d/test'), 'force-unsafe-io\n')
  // This policy-rc.d(8) prevents packages from starting their services when they are installed.
  const policy = join(root, 'usr/sbin/policy-rc.d')
  await writeFile(policy, '#!/bin/sh\nexit 101\n', { mode: 0o755 })
  for (const part of [first.sort().reverse(), names]) {
    await inside('dpkg', '--force-depends', '--install', ...part.map(archive))
  }
  await rm(policy)
}
