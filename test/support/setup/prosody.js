/**
 * Starts a private Prosody on loopback. The server is an unpacked or installed Prosody with its own directory, ports
 * and configuration. It does not touch a Prosody that runs on the machine, nor the files and ports of that Prosody.
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

/** @typedef {Readonly<Record<string, number | readonly number[]>>} TlsPorts One port, or several, of each service. */

/**
 * @typedef {object} Prosody
 * @property {string} version
 * @property {string} dir The private directory with `data/`, `server.cfg.lua` and `prosody.cfg.lua`.
 * @property {number} pid
 * @property {Ports} ports
 * @property {() => string} log Returns what Prosody has logged so far.
 * @property {() => Promise<void>} stop Stops Prosody, and removes the temporary directory of this process.
 * @property {(signal: NodeJS.Signals) => void} kill
 * @property {Promise<number | NodeJS.Signals>} exited
 * @property {(...args: string[]) => Promise<string>} prosodyctl Runs prosodyctl and returns its output, for example
 *   `prosodyctl('shell', 'module', 'reload', 'ping', 'example.com')`. `shell` needs the modules admin_shell and
 *   admin_socket.
 */

/**
 * Starts a private Prosody, and waits until it answers on its port for components.
 *
 * Prosody reads the given configuration unchanged. After it, Prosody reads private values for ports, addresses, paths
 * and the log. So any configuration can run without a public port, except one that loads modules with ports of other
 * kinds than `Ports` has.
 *
 * @param {object} options
 * @param {ProsodyVersion} options.version
 * @param {string} options.config Lua text, as in prosody.cfg.lua.
 * @param {string} [options.dir] The directory of the server, which `stop()` does not remove. Without this option,
 *   it is a temporary directory, which `stop()` removes.
 * @param {Ports} [options.ports] The ports of the server. Without this option, free ports are used.
 * @param {TlsPorts} [options.tlsPorts] The ports of services with TLS from the start, for
 *   example `https` or `c2s_direct_tls`. Without this option, these services have no ports.
 * @param {readonly string[]} [options.interfaces] The addresses on which the server listens, by default 127.0.0.1.
 * @param {readonly string[]} [options.pluginPaths] The directories for `plugin_paths`. They replace those in the
 *   configuration.
 * @param {'debug' | 'info' | 'warn'} [options.logLevel] The level of Prosody's log, by default `info`.
 * @param {NodeJS.ProcessEnv} [options.env] Additional environment variables.
 * @param {(line: string) => void} [options.say] Called before a download.
 * @param {boolean} [options.detached] Whether Prosody gets its own process group, so that Ctrl-C does not reach it.
 * @returns {Promise<Prosody>}
 * @throws {SetupError} If no Prosody is available, or if it does not start.
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
    await writeFile(wrapper, wrapperConfig(dir, ports, options))
    const [command = '', ...args] = await commandFor(installation, 'prosody', dir)
    const child = launch(command, [...args, '-F', '--config', wrapper], {
      cwd: dir,
      env: { ...installation.env, ...options.env },
      detached: options.detached ?? false,
    })
    try {
      await until(
        async () => {
          if (!child.running())
            throw new SetupError(`Prosody exited. ${lastErrors(child.output())}`)
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
 * Checks whether Prosody's event loop runs. An accepted connection does not show that, because the kernel accepts
 * connections while Prosody still loads modules. So this function opens a stream. The stream names no host, so
 * Prosody rejects it immediately (RFC 6120 §4.9.3.7).
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
 * Writes a configuration file that includes the caller's configuration and then sets private values for ports, paths
 * and the log. The last value of an option wins, and each file starts in the global section (core/configmanager.lua,
 * `parser.load`).
 *
 * @param {string} dir
 * @param {Ports} ports
 * @param {{
 *   logLevel?: string | undefined
 *   interfaces?: readonly string[] | undefined
 *   pluginPaths?: readonly string[] | undefined
 *   tlsPorts?: TlsPorts | undefined
 * }} options
 */
function wrapperConfig(
  dir,
  ports,
  { logLevel = 'info', interfaces = ['127.0.0.1'], pluginPaths, tlsPorts = {} },
) {
  const listed = interfaces.map((address) => JSON.stringify(address)).join(', ')
  const paths = pluginPaths?.map((path) => JSON.stringify(path)).join(', ')
  return [
    'Include "server.cfg.lua"',
    `interfaces = { ${listed} }`,
    'local_interfaces = { "127.0.0.1" }',
    ...[...SERVICES, ...DIRECT_TLS].map((name) => `${name}_interfaces = { ${listed} }`),
    ...[...DIRECT_TLS, 'https', 'proxy65', 'console'].map(
      (name) => `${name}_ports = { ${String(tlsPorts[name] ?? '')} }`,
    ),
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
 * Returns the lines of Prosody's output that can explain why it exited. These are the last errors, or the end of the
 * output if it has no errors. For example, Prosody prints a text about a missing library between lines of `*`.
 *
 * @param {string} output
 */
export function lastErrors(output) {
  const lines = output.split('\n').filter((line) => /\w/.test(line))
  const errors = lines.filter((line) => /\berror\b|Failed to/i.test(line))
  const shown = (errors.length > 0 ? errors : lines).slice(-10).map((line) => line.trim())
  return shown.length > 0 ? `Its last lines:\n  ${shown.join('\n  ')}` : 'It printed nothing.'
}
