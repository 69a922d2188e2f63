/** Finds the real programs for the tests, each in the Debian suite that has the wanted version. */

import { readdir } from 'node:fs/promises'
import { join } from 'node:path'
import process from 'node:process'
import { baseSuite, unpack } from './debian.js'
import {
  findProsody,
  legacyVersion,
  libraryDirectories,
  prosodyVersions,
  unpackLuacheck,
} from './installation.js'

/** @typedef {(line: string) => void} Say */

/** @type {readonly ['2', '3']} */
export const prometheusVersions = ['2', '3']

/**
 * @param {'2' | '3'} major 2 is bookworm's 2.42; 3 the first suite's that has it.
 * @param {Say} [say]
 * @returns {Promise<{ prometheus: string, promtool: string }>} Paths of static programs.
 */
export async function findPrometheus(major, say) {
  const wanted =
    major === '2'
      ? { packages: ['prometheus'], suite: 'bookworm', dependencies: /** @type {const} */ ('none') }
      : {
          packages: ['prometheus', 'promtool'],
          suite: 'forky',
          dependencies: /** @type {const} */ ('none'),
        }
  const bin = join(await unpack('prometheus', wanted, say), 'usr/bin')
  return { prometheus: join(bin, 'prometheus'), promtool: join(bin, 'promtool') }
}

/**
 * @typedef {object} Program
 * @property {string} command
 * @property {NodeJS.ProcessEnv} env The environment in which it finds its libraries.
 */

/**
 * Finds a program in a package of the machine's own release.
 *
 * @param {string} path e.g. `usr/bin/curl`.
 * @param {readonly string[]} packages
 * @param {Say} [say]
 * @returns {Promise<Program & { root: string }>} `root` is where the packages are unpacked.
 */
async function findProgram(path, packages, say) {
  const wanted = { packages, suite: await baseSuite() }
  const name = packages[0] ?? ''
  const root = await unpack(name, { ...wanted, dependencies: 'libraries' }, say)
  const libraries = await libraryDirectories(root)
  const env = { ...process.env, LD_LIBRARY_PATH: libraries.join(':') }
  return { command: join(root, path), env, root }
}

/**
 * Debian's Python, with its Prometheus client.
 *
 * @param {Say} [say]
 * @returns {Promise<Program>}
 */
export async function findPython(say) {
  const packages = ['python3-prometheus-client']
  const { root, command, env } = await findProgram('usr/bin/python3', packages, say)
  const modules = join(root, 'usr/lib/python3/dist-packages')
  return {
    command,
    env: { ...env, PYTHONHOME: undefined, PYTHONPATH: modules, PYTHONDONTWRITEBYTECODE: '1' },
  }
}

/**
 * @param {Say} [say]
 * @returns {Promise<Program>}
 */
export async function findCurl(say) {
  return await findProgram('usr/bin/curl', ['curl'], say)
}

/**
 * @param {Say} [say]
 * @returns {Promise<Program>}
 */
export async function findOpenssl(say) {
  const { root, command, env } = await findProgram('usr/bin/openssl', ['openssl'], say)
  return { command, env: { ...env, OPENSSL_CONF: join(root, 'etc/ssl/openssl.cnf') } }
}

/**
 * @param {Say} [say]
 * @returns {Promise<string>} The library that gives a program another clock, for LD_PRELOAD.
 */
export async function findFaketime(say) {
  const wanted = {
    packages: ['libfaketime'],
    suite: await baseSuite(),
    dependencies: /** @type {const} */ ('none'),
  }
  const libraries = join(await unpack('faketime', wanted, say), 'usr/lib')
  // Below a directory named for the machine's kind.
  const [kind = ''] = await readdir(libraries)
  return join(libraries, kind, 'faketime/libfaketime.so.1')
}

/**
 * A small Debian with systemd, Node.js and dpkg: the first release whose Node.js is supported.
 *
 * @param {Say} [say]
 * @returns {Promise<string>} Its root directory.
 */
export function findSmallDebian(say) {
  const packages = ['nodejs', 'systemd', 'dpkg', 'init-system-helpers', 'dash', 'coreutils']
  const tools = ['diffutils', 'findutils', 'grep', 'libc-bin', 'perl-base', 'procps', 'sed', 'tar']
  const wanted = { packages: [...packages, ...tools], suite: 'trixie' }
  return unpack('service', { ...wanted, dependencies: 'all' }, say)
}

/**
 * The browser for the tests of the page. The machine's own browser could be of any version.
 *
 * @param {Say} [say]
 * @returns {Promise<Program & { fonts: string }>}
 */
export async function findChromium(say) {
  const packages = ['chromium', 'fonts-inter', 'fonts-dejavu-core']
  // The script in /usr/bin reads settings from /etc.
  const { root, command, env } = await findProgram('usr/lib/chromium/chromium', packages, say)
  const libraries = await libraryDirectories(root)
  return {
    command,
    env: {
      ...env,
      LD_LIBRARY_PATH: libraries.flatMap((path) => [path, `${path}/pulseaudio`]).join(':'),
    },
    fonts: join(root, 'usr/share/fonts'),
  }
}

/**
 * Fetches everything that the tests need, so that no test waits for the network.
 *
 * @param {Say} say
 */
export async function fetchAll(say) {
  for (const version of [legacyVersion, ...prosodyVersions]) await findProsody(version, say)
  for (const major of prometheusVersions) await findPrometheus(major, say)
  await findPython(say)
  await findCurl(say)
  await findOpenssl(say)
  await findChromium(say)
  await findFaketime(say)
  await unpackLuacheck(say)
  await findSmallDebian(say)
}

/**
 * The names of the files under a directory of the repository that end like this, in order.
 *
 * @param {string} directory
 * @param {string} ending
 */
export async function filesIn(directory, ending) {
  const names = await readdir(directory)
  return names
    .filter((name) => name.endsWith(ending))
    .sort()
    .map((name) => join(directory, name))
}
