/** Finds a Prosody that is installed on the machine or unpacked in `.cache`, and the command that runs it. */

import { existsSync } from 'node:fs'
import { readdir, readFile, writeFile } from 'node:fs/promises'
import { delimiter, dirname, join } from 'node:path'
import process from 'node:process'
import { baseSuite, unpack } from './debian.js'
import { run } from './process.js'
import { inRoot } from './root-directory.js'

/** The versions of Prosody with a metric registry that the tests run. @type {readonly ['0.12.3', '13.0.1']} */
export const prosodyVersions = ['0.12.3', '13.0.1']

/** A version of Prosody without a metric registry. @type {'0.11.9'} */
export const legacyVersion = '0.11.9'

/**
 * @typedef {'0.11.9' | '0.12.3' | '13.0.1' | 'newest' | 'default'} ProsodyVersion `newest` is the latest version
 *   in Debian. `default` is the installed version, or else the version of the machine's release.
 */

/**
 * @typedef {object} Installation
 * @property {readonly string[]} command The command that starts the Lua interpreter.
 * @property {NodeJS.ProcessEnv} env
 * @property {string} script The path of the `prosody` script.
 * @property {string} root The directory with the unpacked files. It is `''` for an installed Prosody.
 * @property {string} inside The path of the directory `root`, as the started program sees it.
 */

/**
 * @param {ProsodyVersion} version
 * @param {(line: string) => void} [say]
 * @returns {Promise<Installation>}
 */
export async function findProsody(version, say) {
  if (version === 'default') {
    const script = (process.env.PATH ?? '')
      .split(delimiter)
      .map((path) => join(path, 'prosody'))
      .find((path) => existsSync(path))
    if (script) return { command: [script], env: process.env, script, root: '', inside: '' }
  }
  const suite = await suiteOf(version)
  if (version === 'newest') return await findInRoot(suite, say)
  const wanted = /** @type {const} */ ({ packages: ['prosody'], suite, dependencies: 'libraries' })
  const root = await unpack('prosody', wanted, say)
  const number = version === legacyVersion ? '5.2' : '5.4'
  return {
    command: [join(root, `usr/bin/lua${number}`)],
    env: await luaEnvironment(root, number),
    script: join(root, 'usr/bin/prosody'),
    root,
    inside: root,
  }
}

/**
 * @param {string} suite
 * @param {(line: string) => void} [say]
 * @returns {Promise<Installation>}
 */
async function findInRoot(suite, say) {
  // The package dash provides the shell through which Prosody starts programs.
  const packages = ['prosody', 'dash']
  const root = await unpack('prosody', { packages, suite, dependencies: 'all' }, say)
  return {
    command: inRoot(root, ['/usr/bin/lua5.4']),
    env: process.env,
    script: join(root, 'usr/bin/prosody'),
    root,
    inside: '',
  }
}

/** @param {ProsodyVersion} version */
async function suiteOf(version) {
  const base = await baseSuite()
  if (version === 'default') return base
  if (version === 'newest') return 'sid'
  if (version === legacyVersion) return 'bullseye'
  if (version === '0.12.3') return 'bookworm'
  return base === 'bookworm' ? 'bookworm-backports' : 'trixie'
}

/**
 * Returns the environment variables with which Lua loads modules only from below `root`. Lua modules of the machine
 * could have other versions.
 *
 * @param {string} root
 * @param {'5.1' | '5.2' | '5.4'} number The version of Lua.
 * @returns {Promise<NodeJS.ProcessEnv>}
 */
async function luaEnvironment(root, number) {
  // All LUA_ variables are removed, because a variable such as LUA_PATH_5_4 would override LUA_PATH.
  const others = Object.entries(process.env).filter(([name]) => !name.startsWith('LUA_'))
  const libraries = await libraryDirectories(root)
  const share = `${root}/usr/share/lua/${number}`
  return {
    ...Object.fromEntries(others),
    LUA_PATH: `${share}/?.lua;${share}/?/init.lua`,
    LUA_CPATH: libraries.map((path) => `${path}/lua/${number}/?.so`).join(';'),
    LD_LIBRARY_PATH: libraries.join(':'),
  }
}

/** @param {string} root */
export async function libraryDirectories(root) {
  // In releases before bookworm, some packages have libraries in /lib. In a directory with unpacked packages, /lib is
  // no link to /usr/lib, so both directories are searched.
  const parents = [join(root, 'usr/lib'), join(root, 'lib')]
  const found = await Promise.all(
    parents.map(async (parent) => {
      const names = await readdir(parent).catch(() => [])
      return names.filter((name) => name.includes('-linux-')).map((name) => join(parent, name))
    }),
  )
  return found.flat()
}

/**
 * Returns the command that runs `prosody` or `prosodyctl`. The packaged scripts contain absolute paths, so a copy of
 * the script with the paths of the unpacked directory is written to `dir`.
 *
 * @param {Installation} installation
 * @param {'prosody' | 'prosodyctl'} name
 * @param {string} dir
 * @returns {Promise<string[]>}
 */
export async function commandFor({ root, inside, command, script }, name, dir) {
  const original = join(dirname(script), name)
  if (root === '') return [original]
  const copy = join(dir, name)
  const text = await readFile(original, 'utf8')
  await writeFile(
    copy,
    text
      .replace(/^CFG_SOURCEDIR=.*$/m, `CFG_SOURCEDIR='${inside}/usr/lib/prosody';`)
      .replace(/^CFG_PLUGINDIR=.*$/m, `CFG_PLUGINDIR='${inside}/usr/lib/prosody/modules/';`)
      .replace(/^CFG_CONFIGDIR=.*$/m, `CFG_CONFIGDIR='${dir}';`)
      .replace(/^CFG_DATADIR=.*$/m, `CFG_DATADIR='${dir}/data';`),
  )
  return [...command, copy]
}

/**
 * Runs luacheck from a Debian package on Lua sources.
 *
 * @param {readonly string[]} args
 */
export async function luacheck(args) {
  const root = await unpackLuacheck()
  return await lua51([`${root}/usr/bin/luacheck`, ...args])
}

/**
 * Runs Lua 5.1, which the oldest supported Prosody uses. It is among the unpacked packages of luacheck, which depends
 * on it.
 *
 * @param {readonly string[]} args
 * @param {string} [input] The standard input.
 */
export async function lua51(args, input) {
  const root = await unpackLuacheck()
  return await run(join(root, 'usr/bin/lua5.1'), args, {
    ...(input !== undefined && { input }),
    env: await luaEnvironment(root, '5.1'),
  })
}

/** @param {(line: string) => void} [say] */
export async function unpackLuacheck(say) {
  const suite = await baseSuite()
  const wanted = /** @type {const} */ ({
    packages: ['lua-check'],
    suite,
    dependencies: 'libraries',
  })
  return await unpack('lua-check', wanted, say)
}
