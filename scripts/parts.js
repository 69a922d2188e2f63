/** The real programs that the tests run, each by the Debian suite that has the wanted version. */

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
 * @param {Say} [say]
 * @returns {Promise<string>} The directory to put into PYTHONPATH.
 */
export async function findPythonClient(say) {
  const wanted = {
    packages: ['python3-prometheus-client'],
    suite: await baseSuite(),
    dependencies: /** @type {const} */ ('missing'),
  }
  return join(
    await unpack('python3-prometheus-client', wanted, say),
    'usr/lib/python3/dist-packages',
  )
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
 * A small Debian with systemd, Node.js and dpkg: the first release whose Node.js is one of ours.
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
 * The browser for the tests of the page; the machine's own is not taken, for it may be any.
 *
 * @param {Say} [say]
 * @returns {Promise<{ command: string, env: NodeJS.ProcessEnv, fonts: string }>}
 */
export async function findChromium(say) {
  const wanted = {
    packages: ['chromium', 'fonts-inter', 'fonts-dejavu-core'],
    suite: await baseSuite(),
    dependencies: /** @type {const} */ ('missing'),
  }
  const root = await unpack('chromium', wanted, say)
  const libraries = await libraryDirectories(root)
  return {
    // Not the script in bin, which looks for its settings in /etc.
    command: join(root, 'usr/lib/chromium/chromium'),
    env: {
      ...process.env,
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
  await findPythonClient(say)
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
