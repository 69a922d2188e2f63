/**
 * Runs a private Prosody on loopback: an unpacked or the installed server with its own directory, ports and
 * configuration. It does not change the machine's own Prosody, its files or its ports.
 */

import { mkdir, writeFile } from 'node:fs/promises'
import { connect } from 'node:net'
import { join } from 'node:path'
import process from 'node:process'
import { commandFor, findProsody } from './installation.js'
import { freePorts, launch, run, SetupError, temporaryDirectory, until } from './process.js'

/** @typedef {import('./installation.js').ProsodyVersion} ProsodyVersion */

/**
 * @typedef {object} Ports
 * @property {number} component
 * @property {number} c2s
 * @property {number} s2s
 * @property {number} http
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
 * Starts a Prosody and waits until its component port answers.
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
 * @throws {SetupError} When Prosody cannot be fetched or does not start.
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
          if (!child.running()) throw new SetupError(`Prosody ended. ${lastErrors(child.output())}`)
          if (/Failed to open server port|Error in config/.test(child.output())) {
            throw new SetupError(`Prosody did not start. ${lastErrors(child.output())}`)
          }
          return await answers(ports.component)
        },
        { what: 'Prosody answers on its component port' },
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
 * Whether Prosody's loop runs: the kernel accepts connections while modules are still being loaded,
 * so this function opens a stream. The stream names no host, so Prosody refuses it immediately (RFC 6120 §4.9.3.7).
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

/**
 * The last lines of Prosody's output that can say why it ended: its errors, or without any the end
 * of the output, for example the text about a missing library, which stands between lines of `*`.
 *
 * @param {string} output
 */
export function lastErrors(output) {
  const lines = output.split('\n').filter((line) => /\w/.test(line))
  const errors = lines.filter((line) => /\berror\b|Failed to/i.test(line))
  const shown = (errors.length > 0 ? errors : lines).slice(-10).map((line) => line.trim())
  return shown.length > 0 ? `Its last lines:\n  ${shown.join('\n  ')}` : 'It printed nothing.'
}
