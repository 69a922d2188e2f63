/**
 * A private Prosody on loopback: an unpacked (or the installed) server with its own directory,
 * ports and configuration. It never touches the machine's own Prosody, its files or its ports.
 */

import { existsSync } from 'node:fs'
import { mkdir, readdir, readFile, writeFile } from 'node:fs/promises'
import { connect } from 'node:net'
import { delimiter, dirname, join } from 'node:path'
import process from 'node:process'
import { baseSuite, unpack } from './debian.js'
import { freePorts, launch, run, SetupError, temporaryDirectory, until } from './process.js'

/** The versions that the tests run against. @type {readonly ['0.12.3', '13.0.1']} */
export const prosodyVersions = ['0.12.3', '13.0.1']

/** @typedef {'0.12.3' | '13.0.1' | 'default'} ProsodyVersion `default`: the installed one, or else the distribution's. */

/**
 * @typedef {object} Ports
 * @property {number} component
 * @property {number} c2s
 * @property {number} s2s
 * @property {number} http
 */

/**
 * @typedef {object} Installation
 * @property {readonly string[]} command How to start the interpreter.
 * @property {NodeJS.ProcessEnv} env
 * @property {string} script The path of the `prosody` script.
 * @property {string} root `''` for the machine's own.
 */

/**
 * @typedef {object} Prosody
 * @property {string} version
 * @property {string} dir Its private directory, with `data/`, `server.cfg.lua` and `prosody.cfg.lua`.
 * @property {number} pid
 * @property {Ports} ports
 * @property {() => string} log Everything logged so far.
 * @property {() => Promise<void>} stop Ends it; what this process made for it is removed.
 * @property {(signal: NodeJS.Signals) => void} kill
 * @property {Promise<number | NodeJS.Signals>} exited
 * @property {(...args: string[]) => Promise<string>} prosodyctl Runs its prosodyctl and returns what
 *   it printed, e.g. `prosodyctl('shell', 'module', 'reload', 'ping', 'example.com')`; `shell` wants
 *   the modules admin_shell and admin_socket.
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
    if (script) return { command: [script], env: process.env, script, root: '' }
  }
  const suite = await suiteOf(version)
  const root = await unpack('prosody', { packages: ['prosody'], suite, closure: true }, say)
  const libraries = await libraryDirectories(root)
  const lua = join(root, 'usr/bin/lua5.4')
  return {
    command: [existsSync(lua) ? lua : 'lua5.4'],
    env: {
      ...process.env,
      // The empty part at the end stands for Lua's own path: what the machine has needs no unpacking.
      LUA_PATH: `${root}/usr/share/lua/5.4/?.lua;${root}/usr/share/lua/5.4/?/init.lua;;`,
      LUA_CPATH: [...libraries.map((path) => `${path}/lua/5.4/?.so`), ';'].join(';'),
      LD_LIBRARY_PATH: libraries.join(':'),
    },
    script: join(root, 'usr/bin/prosody'),
    root,
  }
}

/** @param {ProsodyVersion} version */
async function suiteOf(version) {
  const base = await baseSuite()
  if (version === 'default') return base
  if (version === '0.12.3') return 'bookworm'
  return base === 'bookworm' ? 'bookworm-backports' : 'trixie'
}

/** @param {string} root */
async function libraryDirectories(root) {
  const names = await readdir(join(root, 'usr/lib')).catch(() => [])
  return names.filter((name) => name.includes('-linux-')).map((name) => join(root, 'usr/lib', name))
}

/**
 * Starts one and waits until its component port answers.
 *
 * The configuration given is read as it is; after it, ports, addresses, paths and log are set to
 * private ones, so any configuration can be tried without listening in public. Modules that open
 * ports of other kinds are the caller's to leave out.
 *
 * @param {object} options
 * @param {ProsodyVersion} options.version
 * @param {string} options.config Lua text, as in prosody.cfg.lua.
 * @param {string} [options.dir] Kept by `stop()`; without it a temporary one is made and removed.
 * @param {Ports} [options.ports] Default: free ones.
 * @param {readonly string[]} [options.pluginPaths] In place of the configuration's `plugin_paths`.
 * @param {'debug' | 'info' | 'warn'} [options.logLevel] Default: `info`.
 * @param {NodeJS.ProcessEnv} [options.env] Besides the environment that it needs.
 * @param {(line: string) => void} [options.say] Told when something is fetched.
 * @param {boolean} [options.detached] See `launch`.
 * @returns {Promise<Prosody>}
 * @throws {SetupError} When there is no Prosody to be had, or it does not start.
 */
export async function startProsody(options) {
  const installation = await findProsody(options.version, options.say)
  const temporary =
    options.dir === undefined ? await temporaryDirectory('prosody-exporter') : undefined
  const dir = options.dir ?? temporary?.path ?? ''
  const remove = async () => {
    await temporary?.remove()
  }
  try {
    const [component = 0, c2s = 0, s2s = 0, http = 0] = options.ports ? [] : await freePorts(4)
    const ports = options.ports ?? { component, c2s, s2s, http }
    await mkdir(join(dir, 'data'), { recursive: true })
    await mkdir(join(dir, 'certs'), { recursive: true })
    await writeFile(join(dir, 'server.cfg.lua'), options.config)
    const wrapper = join(dir, 'prosody.cfg.lua')
    await writeFile(wrapper, wrapperConfig(dir, ports, options.logLevel, options.pluginPaths))
    const [command = '', ...args] = await commandFor(installation, 'prosody', dir)
    const child = launch(command, [...args, '-F', '--config', wrapper], {
      cwd: dir,
      env: { ...installation.env, ...options.env },
      detached: options.detached ?? false,
    })
    try {
      await until(
        async () => {
          if (!child.running()) throw new SetupError(`Prosody ended: ${reason(child.output())}`)
          if (/Failed to open server port|Error in config/.test(child.output())) {
            throw new SetupError(`Prosody did not start: ${reason(child.output())}`)
          }
          return await answers(ports.component)
        },
        { what: 'Prosody answers on its component port', timeoutMs: 20_000 },
      )
    } catch (error) {
      await child.stop()
      throw error
    }
    return {
      version: /Prosody version ([\w.-]+)/.exec(child.output())?.[1] ?? options.version,
      dir,
      pid: child.pid,
      ports,
      log: () => child.output(),
      kill: child.kill,
      exited: child.exited,
      async prosodyctl(...words) {
        const [ctl = '', ...first] = await commandFor(installation, 'prosodyctl', dir)
        const env = { ...installation.env, ...options.env }
        const { code, output } = await run(ctl, [...first, '--config', wrapper, ...words], { env })
        if (code !== 0) throw new Error(`prosodyctl ${words.join(' ')}: ${output.trim()}`)
        return output
      },
      async stop() {
        await child.stop()
        await remove()
      },
    }
  } catch (error) {
    await remove()
    throw error
  }
}

/**
 * How to run `prosody` or `prosodyctl`. The packaged scripts have absolute paths: a copy gets its
 * own, pointing into the unpacked directory.
 *
 * @param {Installation} installation
 * @param {'prosody' | 'prosodyctl'} name
 * @param {string} dir
 * @returns {Promise<string[]>}
 */
async function commandFor({ root, command, script }, name, dir) {
  const original = join(dirname(script), name)
  if (root === '') return [original]
  const copy = join(dir, name)
  const text = await readFile(original, 'utf8')
  await writeFile(
    copy,
    text
      .replace(/^CFG_SOURCEDIR=.*$/m, `CFG_SOURCEDIR='${root}/usr/lib/prosody';`)
      .replace(/^CFG_PLUGINDIR=.*$/m, `CFG_PLUGINDIR='${root}/usr/lib/prosody/modules/';`)
      .replace(/^CFG_CONFIGDIR=.*$/m, `CFG_CONFIGDIR='${dir}';`)
      .replace(/^CFG_DATADIR=.*$/m, `CFG_DATADIR='${dir}/data';`),
  )
  return [...command, copy]
}

/**
 * Whether Prosody's loop runs: the kernel accepts connections while modules are still being loaded,
 * so a stream is opened. It names no host and is refused at once (RFC 6120 §4.9.3.7).
 *
 * @param {number} port
 * @returns {Promise<boolean>}
 */
function answers(port) {
  return new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1', () => {
      socket.write(
        "<stream:stream xmlns='jabber:component:accept' xmlns:stream='http://etherx.jabber.org/streams'>",
      )
    })
    /** @param {boolean} answer */
    const done = (answer) => {
      socket.destroy()
      resolve(answer)
    }
    socket.setTimeout(5000, () => {
      done(false)
    })
    socket.once('data', () => {
      done(true)
    })
    socket.once('error', () => {
      done(false)
    })
    socket.once('end', () => {
      done(false)
    })
  })
}

const SERVICES = ['c2s', 's2s', 'component', 'http', 'https', 'proxy65', 'console']
const DIRECT_TLS = ['c2s_direct_tls', 's2s_direct_tls', 'legacy_ssl']

/**
 * Global options that come after the included file's: the last value set wins, and each file begins
 * in the global section (core/configmanager.lua, `parser.load`).
 *
 * @param {string} dir
 * @param {Ports} ports
 * @param {string} [logLevel]
 * @param {readonly string[]} [pluginPaths]
 */
function wrapperConfig(dir, ports, logLevel = 'info', pluginPaths) {
  const paths = pluginPaths?.map((path) => JSON.stringify(path)).join(', ')
  return [
    'Include "server.cfg.lua"',
    'interfaces = { "127.0.0.1" }',
    'local_interfaces = { "127.0.0.1" }',
    ...[...SERVICES, ...DIRECT_TLS].map((name) => `${name}_interfaces = { "127.0.0.1" }`),
    ...[...DIRECT_TLS, 'https', 'proxy65', 'console'].map((name) => `${name}_ports = { }`),
    `component_ports = { ${ports.component} }`,
    `c2s_ports = { ${ports.c2s} }`,
    `s2s_ports = { ${ports.s2s} }`,
    `http_ports = { ${ports.http} }`,
    'daemonize = false',
    `run_as_root = ${process.getuid?.() === 0}`,
    'prosody_user = nil',
    'prosody_group = nil',
    `data_path = ${JSON.stringify(join(dir, 'data'))}`,
    `pidfile = ${JSON.stringify(join(dir, 'prosody.pid'))}`,
    `admin_socket = ${JSON.stringify(join(dir, 'prosody.sock'))}`,
    `log = { { levels = { min = "${logLevel}" }, to = "console" } }`,
    ...(paths === undefined ? [] : [`plugin_paths = { ${paths} }`]),
    '',
  ].join('\n')
}

/** The line of a log that says why. @param {string} log */
function reason(log) {
  const lines = log.trimEnd().split('\n')
  return (lines.find((line) => /Failed to open|\berror\b/i.test(line)) ?? lines.at(-1) ?? '').trim()
}

/**
 * Debian's luacheck, for the Lua sources.
 *
 * @param {readonly string[]} args
 * @param {(line: string) => void} [say]
 */
export async function luacheck(args, say) {
  const root = await unpackLuacheck(say)
  const share = `${root}/usr/share/lua/5.1`
  const libraries = await libraryDirectories(root)
  const lua = existsSync(`${root}/usr/bin/lua5.1`) ? `${root}/usr/bin/lua5.1` : 'lua5.1'
  return await run(lua, [`${root}/usr/bin/luacheck`, ...args], {
    env: {
      ...process.env,
      LUA_PATH: `${share}/?.lua;${share}/?/init.lua;;`,
      LUA_CPATH: [...libraries.map((path) => `${path}/lua/5.1/?.so`), ';'].join(';'),
      LD_LIBRARY_PATH: libraries.join(':'),
    },
  })
}

/** @param {(line: string) => void} [say] */
export async function unpackLuacheck(say) {
  const suite = await baseSuite()
  return await unpack('lua-check', { packages: ['lua-check'], suite, closure: true }, say)
}
