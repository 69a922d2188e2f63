/**
 * Finds the real programs that the tests run. Each is downloaded from the Debian suite that has the required version.
 */

import { existsSync } from 'node:fs'
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
import { inRoot } from './root-directory.js'

/** @typedef {(line: string) => void} Say */

/** @type {readonly ['2', '3']} */
export const prometheusVersions = ['2', '3']

/**
 * @param {'2' | '3'} major The major version: 2 for the version 2.42 of bookworm, or 3 for the version of
 *   the first suite that has Prometheus 3.
 * @param {Say} [say]
 * @returns {Promise<{ prometheus: string, promtool: string }>} The paths of both programs, which need no libraries.
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
 * Finds Alertmanager. Debian's version reads its templates in /usr/share, so it runs in a root directory of its own.
 *
 * @param {Say} [say]
 * @param {'prometheus-alertmanager' | 'amtool'} [program]
 * @returns {Promise<(args: readonly string[]) => string[]>} Returns the command with the given arguments.
 */
export async function findAlertmanager(say, program = 'prometheus-alertmanager') {
  const wanted = { packages: ['prometheus-alertmanager'], suite: 'bookworm' }
  const directory = await unpack('alertmanager', { ...wanted, dependencies: 'all' }, say)
  return (args) => inRoot(directory, [`/usr/bin/${program}`, ...args])
}

/**
 * @typedef {object} Program
 * @property {string} command
 * @property {NodeJS.ProcessEnv} env The environment variables with which the program finds its libraries.
 */

/**
 * Finds a program in Debian packages of the machine's own release.
 *
 * @param {string} path The path of the program in the package, for example `usr/bin/curl`.
 * @param {readonly string[]} packages
 * @param {Say} [say]
 * @returns {Promise<Program & { root: string }>} `root` is the directory with the unpacked packages.
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
 * Finds Python and its Prometheus client in Debian packages.
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
 * Finds mandoc, a program that checks and renders manual pages.
 *
 * @param {Say} [say]
 * @returns {Promise<Program>}
 */
export async function findMandoc(say) {
  return await findProgram('usr/bin/mandoc', ['mandoc'], say)
}

/**
 * Finds the programs that configure network namespaces: ip(8) of iproute2, and nft(8) of nftables.
 *
 * @param {Say} [say]
 * @returns {Promise<{ ip: string, nft: string, env: NodeJS.ProcessEnv }>}
 */
export async function findNetworkTools(say) {
  const found = await findProgram('usr/sbin/nft', ['iproute2', 'nftables'], say)
  // The path depends on the release: since trixie, no package has files outside of /usr.
  const paths = ['bin/ip', 'usr/bin/ip'].map((path) => join(found.root, path))
  const ip = paths.find((path) => existsSync(path)) ?? 'ip'
  return { ip, nft: found.command, env: found.env }
}

/**
 * Finds NSD, an authoritative DNS server.
 *
 * @param {Say} [say]
 * @returns {Promise<Program>}
 */
export async function findNsd(say) {
  return await findProgram('usr/sbin/nsd', ['nsd'], say)
}

/**
 * Finds Unbound, a DNS server that resolves names recursively.
 *
 * @param {Say} [say]
 * @returns {Promise<Program>}
 */
export async function findUnbound(say) {
  return await findProgram('usr/sbin/unbound', ['unbound'], say)
}

/**
 * @param {Say} [say]
 * @returns {Promise<string>} The path of libfaketime, a library for LD_PRELOAD that changes the clock of a program.
 */
export async function findFaketime(say) {
  const wanted = {
    packages: ['libfaketime'],
    suite: await baseSuite(),
    dependencies: /** @type {const} */ ('none'),
  }
  const libraries = join(await unpack('faketime', wanted, say), 'usr/lib')
  // The library is in a directory whose name contains the architecture of the machine.
  const [kind = ''] = await readdir(libraries)
  return join(libraries, kind, 'faketime/libfaketime.so.1')
}

/**
 * Finds a small Debian with systemd, Node.js and dpkg. Its release is the first whose Node.js the exporter supports.
 *
 * @param {Say} [say]
 * @returns {Promise<string>} The root directory.
 */
export function findSmallDebian(say) {
  const packages = ['nodejs', 'systemd', 'dpkg', 'init-system-helpers', 'dash', 'coreutils']
  const tools = ['diffutils', 'findutils', 'grep', 'libc-bin', 'perl-base', 'procps', 'sed', 'tar']
  const wanted = { packages: [...packages, ...tools], suite: 'trixie' }
  return unpack('service', { ...wanted, dependencies: 'all' }, say)
}

/**
 * Finds Chromium in a Debian package, for the tests of the page. An installed browser could have any version.
 *
 * @param {Say} [say]
 * @returns {Promise<Program & { fonts: string }>}
 */
export async function findChromium(say) {
  const packages = ['chromium', 'fonts-inter', 'fonts-dejavu-core']
  // The binary is run directly, because the script in /usr/bin reads settings from the machine's /etc.
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
 * Downloads all programs that `npm test` needs, so that no test waits for the network.
 *
 * @param {Say} say
 */
export async function fetchAll(say) {
  for (const version of [legacyVersion, ...prosodyVersions]) await findProsody(version, say)
  for (const major of prometheusVersions) await findPrometheus(major, say)
  await findAlertmanager(say)
  await findPython(say)
  await findCurl(say)
  await findOpenssl(say)
  await findMandoc(say)
  await findChromium(say)
  await findFaketime(say)
  await findNetworkTools(say)
  await findNsd(say)
  await findUnbound(say)
  await unpackLuacheck(say)
  await findSmallDebian(say)
}

/**
 * Returns the names of the files in a directory that have the given ending, in alphabetical order.
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
